//! The loop that keeps Secret, serving pair and `caBundle` right.

use super::{
    CertificateSink, KeeperSettings, SettingsError,
    bundle::{Configuration, Trust},
    contents::{Contents, Data, Material},
    decide::{Action, Draft, Reason, Served, Situation, decide},
    metrics::{Kind, Metrics},
    x509::{Certificate, later},
};
use crate::cluster::{
    api::{Failure, bounded},
    pace::{Pace, fraction},
    reporter::Reporter,
};
use jiff::Timestamp;
use k8s_openapi::{
    api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::watch;

/// Who owns `caBundle`, in `managedFields`.
const FIELD_MANAGER: &str = "native-sidecar";

/// How often an object that others change meanwhile is read again at once.
const ATTEMPTS: u32 = 5;

/// Keeps the certificates of one replica. See [the module](super) for how replicas agree.
pub struct Keeper<S> {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    settings: KeeperSettings,
    sink: S,
    metrics: Metrics,
    jitter: f64,
    remembered: Option<Material>,
    served: Option<Served>,
    trust: Trust,
    /// The bundle that was last seen in every entry.
    placed: Option<String>,
    ready: watch::Sender<bool>,
    absence: Reporter,
}

/// Why looking after the certificates failed. Nothing is lost by it: the pair in use stays, and it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not do as asked.
    #[error("cannot {action} {object}: {failure}; {advice}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// The object's kind and name.
        object: String,
        /// What came of it.
        failure: Failure,
        /// What to do.
        advice: &'static str,
    },
    /// A certificate could not be made.
    #[error("{0}; it is tried again with a new key")]
    Make(String),
    /// The server refused the pair.
    #[error("the TLS server refuses the pair in Secret {object}: {source}; the pair in use stays")]
    Install {
        /// The Secret's name.
        object: String,
        /// The server's reason.
        source: Box<dyn std::error::Error + Send + Sync + 'static>,
    },
    /// The configuration has nothing to put a bundle into.
    #[error("MutatingWebhookConfiguration {0} has no webhooks, so no caBundle can be set; apply the manifests again")]
    NoEntries(String),
}

// === impl Keeper ===

impl<S: CertificateSink> Keeper<S> {
    /// A keeper that gives its pairs to `sink`. It does nothing before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// When the settings cannot work.
    pub fn new(client: Client, settings: KeeperSettings, sink: S, metrics: Metrics) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self {
            secrets: Api::namespaced(client.clone(), &settings.namespace),
            configurations: Api::all(client),
            settings,
            sink,
            metrics,
            jitter: fraction(),
            remembered: None,
            served: None,
            trust: Trust::default(),
            placed: None,
            ready: watch::channel(false).0,
            absence: Reporter::new("waiting for the webhook configuration"),
        })
    }

    /// Whether a pair is in use that `caBundle` trusts, or that nobody calls yet.
    ///
    /// Where there is no webhook configuration a pair is enough: tools that apply it only once the Deployment is ready
    /// would wait for ever. While the API server is away the last answer stands.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Looks after the certificates until `shutdown`.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut pace = Pace::every(self.settings.interval);
        let mut reporter = Reporter::new("certificates");
        loop {
            let wait = tokio::select! {
                biased;
                () = &mut shutdown => return,
                outcome = self.tick(Timestamp::now()) => match outcome {
                    Ok(()) => {
                        reporter.succeeded();
                        pace.after_success()
                    }
                    Err(error) => {
                        reporter.failed(&error.to_string());
                        pace.after_failure()
                    }
                },
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Looks at everything once and does what has to be done at `now`.
    ///
    /// # Errors
    ///
    /// When something could not be done. What could be done is done.
    pub async fn tick(&mut self, now: Timestamp) -> Result<(), Error> {
        let mut outcome = self.attempt(now).await;
        for _ in 1..ATTEMPTS {
            match &outcome {
                Err(error) if error.is_conflict() => {
                    tokio::time::sleep(Duration::from_millis(200).mul_f64(fraction())).await;
                    outcome = self.attempt(now).await;
                }
                _ => break,
            }
        }
        if outcome.is_err() {
            self.metrics.failed();
        }
        outcome
    }

    /// The configuration is read before the Secret and written after it with the version that was read. So a replica never
    /// puts back an older bundle: if another has changed the configuration since, the API server refuses; if before, then
    /// the Secret that is read here is the newer one as well.
    async fn attempt(&mut self, now: Timestamp) -> Result<(), Error> {
        let configuration = self.read_configuration().await;
        if let Ok(configuration) = &configuration {
            self.trust.observe(now, configuration.as_ref());
        }
        let material = self.keep_secret(now).await?;
        self.remembered = Some(material.clone());
        self.metrics.expires(Kind::ca, material.authority.certificate.not_after);
        if self.served.is_none() {
            self.install(now, &material)?;
        }
        let configuration = match configuration {
            Ok(configuration) => self.keep_bundle(configuration, &material.bundle()).await,
            Err(error) => Err(error),
        };
        if let Ok(configuration) = &configuration {
            self.trust.observe(now, configuration.as_ref());
        }
        // Also when the bundle cannot be read or set: a pair that is renewed under the same CA must not be missed.
        if self.is_better(now, &material) {
            self.install(now, &material)?;
        }
        let configuration = configuration?;
        let ready = self.is_trusted(now, configuration.as_ref());
        self.ready.send_if_modified(|before| std::mem::replace(before, ready) != ready);
        Ok(())
    }

    /// The complete set that the Secret holds, made or repaired where necessary.
    async fn keep_secret(&mut self, now: Timestamp) -> Result<Material, Error> {
        let secret = bounded(self.secrets.get_opt(&self.settings.secret)).await;
        let secret = secret.map_err(|failure| self.secret_error("read", failure, "the right needed is `get`"))?;
        let empty = Data::new();
        let contents = Contents::read(secret.as_ref().and_then(|secret| secret.data.as_ref()).unwrap_or(&empty));
        let situation = Situation {
            now,
            jitter: self.jitter,
            remembered: self.remembered.as_ref(),
            served: self.served.as_ref(),
            trust: &self.trust,
        };
        match decide(&contents, situation, &self.settings) {
            Action::Keep(material) => Ok(*material),
            Action::Write(draft) => self.write(now, secret, *draft).await,
        }
    }

    async fn write(&self, now: Timestamp, secret: Option<Secret>, draft: Draft) -> Result<Material, Error> {
        let made = [(Kind::ca, draft.authority.is_none()), (Kind::serving, draft.serving.is_none())];
        let reasons = draft.reasons.clone();
        let material = draft.make(now, &self.settings).map_err(|error| Error::Make(error.to_string()))?;
        match secret {
            Some(secret) => self.replace(secret, &material).await?,
            None => self.create(&material).await?,
        }
        made.iter().filter(|(_, made)| *made).for_each(|(kind, _)| self.metrics.made(*kind));
        self.log_written(&reasons, &material);
        Ok(material)
    }

    async fn replace(&self, mut secret: Secret, material: &Material) -> Result<(), Error> {
        material.write(secret.data.get_or_insert_default());
        let written = bounded(self.secrets.replace(&self.settings.secret, &post(), &secret)).await;
        let advice = "the right needed is `update`, and the Secret must not be immutable";
        written.map(drop).map_err(|failure| self.secret_error("write", failure, advice))
    }

    async fn create(&self, material: &Material) -> Result<(), Error> {
        let mut secret = self.new_secret();
        material.write(secret.data.get_or_insert_default());
        let created = bounded(self.secrets.create(&post(), &secret)).await;
        let advice = "create it empty, as the manifests do, or give the right to `create` Secrets in this namespace";
        created.map(drop).map_err(|failure| self.secret_error("create", failure, advice))
    }

    fn new_secret(&self) -> Secret {
        // No `managed-by`, which a chart sets to another value: its next upgrade would be refused over it.
        let labels = [("app.kubernetes.io/name".to_owned(), FIELD_MANAGER.to_owned())];
        let name = Some(self.settings.secret.clone());
        let metadata = ObjectMeta { name, labels: Some(BTreeMap::from(labels)), ..ObjectMeta::default() };
        Secret { metadata, type_: Some("kubernetes.io/tls".to_owned()), ..Secret::default() }
    }

    fn log_written(&self, reasons: &[Reason], material: &Material) {
        let why = reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join("; ");
        let (secret, serving) = (self.secret_name(), material.serving.certificate.not_after);
        let authority = material.authority.certificate.not_after;
        if reasons.iter().any(Reason::is_damage) {
            tracing::warn!(secret, %serving, %authority, "certificates replaced: {why}");
        } else {
            tracing::info!(secret, %serving, %authority, "certificates replaced: {why}");
        }
    }

    /// The configuration, `None` where there is none.
    async fn read_configuration(&self) -> Result<Option<Configuration>, Error> {
        let object = bounded(self.configurations.get_opt(&self.settings.configuration)).await;
        let object =
            object.map_err(|failure| self.configuration_error("read", failure, "the right needed is `get`"))?;
        Ok(object.as_ref().map(Configuration::read))
    }

    /// Puts `bundle` into every entry that has another one. The configuration as it is then.
    async fn keep_bundle(
        &mut self,
        configuration: Option<Configuration>,
        bundle: &str,
    ) -> Result<Option<Configuration>, Error> {
        let Some(configuration) = configuration else {
            let name = &self.settings.configuration;
            self.absence.failed(&format!("there is no MutatingWebhookConfiguration {name}, so nobody calls"));
            self.placed = None;
            return Ok(None);
        };
        self.absence.succeeded();
        if configuration.is_empty() {
            return Err(Error::NoEntries(self.settings.configuration.clone()));
        }
        let unlike = configuration.unlike(bundle).join(", ");
        if unlike.is_empty() {
            self.placed = Some(bundle.to_owned());
            return Ok(Some(configuration));
        }
        let applied = self.apply(&configuration, bundle).await?;
        self.log_applied(&unlike, bundle);
        Ok(Some(applied))
    }

    async fn apply(&self, configuration: &Configuration, bundle: &str) -> Result<Configuration, Error> {
        let (name, patch) = (&self.settings.configuration, Patch::Apply(configuration.patch(bundle)));
        // Forced: whoever applies a manifest with an empty caBundle owns the field, and must not keep it.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied = bounded(self.configurations.patch(name, &params, &patch)).await;
        let advice = "the right needed is `patch`";
        let applied = applied.map_err(|failure| self.configuration_error("set caBundle of", failure, advice))?;
        Ok(Configuration::read(&applied))
    }

    fn log_applied(&mut self, entries: &str, bundle: &str) {
        let configuration = &self.settings.configuration;
        if self.placed.as_deref() == Some(bundle) {
            self.metrics.restored();
            tracing::warn!(configuration, "caBundle of {entries} was changed by somebody else and has been restored");
        } else {
            tracing::info!(configuration, "caBundle of {entries} has been set");
        }
        self.placed = Some(bundle.to_owned());
    }

    /// Whether the pair in the Secret should take the place of the one in use.
    fn is_better(&self, now: Timestamp, material: &Material) -> bool {
        let Some(served) = &self.served else { return true };
        if served.pair == material.serving {
            return false;
        }
        let issuer = issuer(now, material);
        let settled = self.trust.since(&issuer).is_some_and(|since| later(since, self.settings.propagation) <= now);
        let broken = served.pair.certificate.is_expired(now) || self.trust.since(&served.issuer).is_none();
        served.issuer == issuer || settled || broken
    }

    fn install(&mut self, now: Timestamp, material: &Material) -> Result<(), Error> {
        let pair = material.serving.clone();
        let installed = self.sink.install(pair.chain_pem().as_bytes(), pair.key_pem().as_bytes());
        installed.map_err(|source| Error::Install { object: self.secret_name(), source })?;
        let certificate = &pair.certificate;
        self.metrics.expires(Kind::serving, certificate.not_after);
        tracing::info!(secret = self.secret_name(), expires = %certificate.not_after, "serving with the pair in the Secret");
        self.served = Some(Served { issuer: issuer(now, material), pair });
        Ok(())
    }

    fn is_trusted(&self, now: Timestamp, configuration: Option<&Configuration>) -> bool {
        let Some(served) = &self.served else { return false };
        configuration.is_none_or(|configuration| served.pair.issuer(&configuration.trusted(), now).is_some())
    }

    fn secret_name(&self) -> String {
        format!("{}/{}", self.settings.namespace, self.settings.secret)
    }

    fn secret_error(&self, action: &'static str, failure: Failure, advice: &'static str) -> Error {
        let object = format!("Secret {}", self.secret_name());
        Error::Api { action, object, advice: advice_for(&failure, advice), failure }
    }

    fn configuration_error(&self, action: &'static str, failure: Failure, advice: &'static str) -> Error {
        let object = format!("MutatingWebhookConfiguration {}", self.settings.configuration);
        Error::Api { action, object, advice: advice_for(&failure, advice), failure }
    }
}

/// The CA that signed the serving pair. [`decide`] lets no other pair through; the CA in force stands in all the same.
fn issuer(now: Timestamp, material: &Material) -> Certificate {
    let authorities = material.authorities();
    material.serving.issuer(&authorities, now).unwrap_or(&material.authority.certificate).clone()
}

fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn advice_for(failure: &Failure, advice: &'static str) -> &'static str {
    if failure.is_outage() { "it is tried again, and the pair in use stays" } else { advice }
}

// === impl Error ===

impl Error {
    /// Whether somebody else has changed the object meanwhile.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { failure, .. } if failure.is_conflict())
    }
}
