//! The state machine, without a cluster: what is in the Secret, what the replica knows, what it does.

use super::{
    DAY, KeeperSettings, SettingsError,
    bundle::{Configuration, Trust},
    contents::{Contents, Data, Material, Part},
    decide::{Action, Draft, Reason, SecretPart, Served, Situation, Why, decide},
    x509::{Certificate, Flaw, Pair, earlier, later, make_authority, make_serving},
};
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use rstest::rstest;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

const MINUTE: Duration = Duration::from_mins(1);

/// One replica and its cluster.
struct World {
    now: Timestamp,
    jitter: f64,
    settings: KeeperSettings,
    data: Data,
    remembered: Option<Material>,
    served: Option<Served>,
    trust: Trust,
}

impl World {
    /// Nothing there yet.
    fn new() -> Self {
        Self {
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            jitter: 0.0,
            settings: KeeperSettings::new("sidecars"),
            data: Data::new(),
            remembered: None,
            served: None,
            trust: Trust::default(),
        }
    }

    /// A replica that has made the certificates, serves with them, and has seen the bundle trusted.
    fn running() -> Self {
        let mut world = Self::new();
        world.step();
        world.serve();
        world
    }

    /// A replica that has just started in a cluster that is set up.
    fn restarted(mut self) -> Self {
        (self.remembered, self.served, self.trust) = (None, None, Trust::default());
        self
    }

    fn later(mut self, duration: Duration) -> Self {
        self.now = later(self.now, duration);
        self
    }

    fn days(self, days: u32) -> Self {
        self.later(days * DAY)
    }

    fn set(mut self, key: &str, value: impl Into<Vec<u8>>) -> Self {
        self.data.insert(key.to_owned(), ByteString(value.into()));
        self
    }

    fn decide(&self) -> Action {
        let situation = Situation {
            now: self.now,
            jitter: self.jitter,
            remembered: self.remembered.as_ref(),
            served: self.served.as_ref(),
            trust: &self.trust,
        };
        decide(&Contents::read(&self.data), situation, &self.settings)
    }

    fn draft(&self) -> Draft {
        match self.decide() {
            Action::Write(draft) => *draft,
            Action::Keep(_) => panic!("nothing is written"),
        }
    }

    fn keeps(&self) -> bool {
        matches!(self.decide(), Action::Keep(_))
    }

    /// Decides, writes, and has the bundle put into the configuration.
    fn step(&mut self) -> Vec<Reason> {
        let (material, reasons) = match self.decide() {
            Action::Keep(material) => (*material, Vec::new()),
            Action::Write(draft) => {
                let reasons = draft.reasons.clone();
                (draft.make(self.now, &self.settings).unwrap(), reasons)
            }
        };
        material.write(&mut self.data);
        self.trust.observe(self.now, Some(&configuration(&[&material.bundle(), &material.bundle()])));
        self.remembered = Some(material);
        reasons
    }

    fn serve(&mut self) {
        let material = self.material();
        let issuer = material.serving.issuer(&material.authorities(), self.now).unwrap().clone();
        self.served = Some(Served { pair: material.serving, issuer });
    }

    fn material(&self) -> Material {
        self.remembered.clone().unwrap()
    }
}

fn configuration(bundles: &[&str]) -> Configuration {
    let entry = |(index, bundle): (usize, &&str)| {
        let bundle = ByteString(bundle.as_bytes().to_vec());
        json!({
            "name": format!("{index}.native-sidecar.io"), "clientConfig": {"caBundle": bundle},
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
        })
    };
    let webhooks: Vec<_> = bundles.iter().enumerate().map(entry).collect();
    let object = json!({"metadata": {"name": "zz-native-sidecar", "resourceVersion": "7"}, "webhooks": webhooks});
    Configuration::read(&serde_json::from_value::<MutatingWebhookConfiguration>(object).unwrap())
}

fn because(part: SecretPart, why: Why) -> Reason {
    Reason { part, why }
}

fn whys(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}

// === Fresh ===

#[rstest]
#[case::absent(World::new())]
#[case::empty_keys(World::new().set("tls.crt", "").set("tls.key", "\n").set("ca.crt", "").set("ca.key", ""))]
fn an_empty_secret_is_filled(#[case] mut world: World) {
    let reasons = world.step();
    assert_eq!(whys(&reasons), ["the CA is missing", "the serving pair is missing"]);
    let material = world.material();
    assert!(material.authority.certificate.is_ca && !material.serving.certificate.is_ca);
    assert_eq!(material.serving.lacks(&world.settings.all_names()), Vec::<String>::new());
    assert_eq!(material.serving.issuer(&material.authorities(), world.now), Some(&material.authority.certificate));
    assert_eq!(material.serving.certificate.not_before, earlier(world.now, world.settings.backdate));
    assert_eq!(material.serving.certificate.not_after, later(world.now, 90 * DAY));
    assert!(world.keeps());
}

#[test]
fn what_was_written_reads_the_same() {
    let world = World::running();
    let contents = Contents::read(&world.data);
    let material = world.material();
    assert_eq!(contents.authority, Part::Good(Box::new(material.authority)));
    assert_eq!(contents.serving, Part::Good(Box::new(material.serving)));
    assert_eq!(contents.previous, []);
}

#[test]
fn other_keys_stay() {
    let mut world = World::new().set("notes", "mine");
    world.step();
    assert_eq!(world.data["notes"].0, b"mine");
}

#[test]
fn a_fresh_replica_uses_what_it_finds() {
    let world = World::running().days(3).restarted();
    assert!(world.keeps());
}

#[test]
fn a_serving_pair_never_outlives_its_ca() {
    let world = World::running();
    let authority = world.material().authority;
    let now = later(world.now, 300 * DAY);
    let serving = make_serving(now, &world.settings, &world.settings.all_names(), &authority).unwrap();
    assert_eq!(serving.certificate.not_after, authority.certificate.not_after);
}

// === Rotation ===

#[test]
fn the_serving_pair_is_replaced_after_two_thirds_of_its_life() {
    let world = World::running().days(59);
    assert!(world.keeps());
    let mut world = world.days(2);
    let before = world.material();
    let reasons = world.step();
    assert!(matches!(&*reasons, [Reason { part: SecretPart::Serving, why: Why::Due(_) }]), "{reasons:?}");
    assert_eq!(world.material().authority, before.authority);
    assert_ne!(world.material().serving, before.serving);
    assert!(world.keeps());
}

#[test]
fn jitter_spreads_the_replicas() {
    let mut world = World::running().days(61);
    assert!(!world.keeps());
    world.jitter = 1.0;
    assert!(world.keeps());
    assert!(!world.days(5).keeps());
}

#[test]
fn a_ca_is_replaced_in_two_steps() {
    // A CA whose end is near, with a serving pair that has just been made.
    let mut world = World::running().days(244);
    let served = make_serving(world.now, &world.settings, &world.settings.all_names(), &world.material().authority);
    let material = Material { serving: served.unwrap(), ..world.material() };
    material.write(&mut world.data);
    world.remembered = Some(material.clone());
    world.serve();
    let old = world.material().authority.certificate;

    // Step one: both CAs are trusted, the serving pair stays.
    let reasons = world.step();
    assert!(matches!(&*reasons, [Reason { part: SecretPart::Authority, why: Why::Due(_) }]), "{reasons:?}");
    let between = world.material();
    assert_ne!(between.authority.certificate, old);
    assert_eq!(between.previous, std::slice::from_ref(&old));
    assert_eq!(between.serving, material.serving);

    // Nothing happens before the propagation time is over.
    world = world.later(4 * MINUTE);
    assert!(world.keeps());

    // Step two: the new CA signs; the old one stays trusted.
    world = world.later(2 * MINUTE);
    assert_eq!(whys(&world.step()), ["the serving pair was signed by a CA that has been replaced"]);
    let after = world.material();
    assert_eq!(after.authority, between.authority);
    assert_eq!(after.previous, std::slice::from_ref(&old));
    assert_eq!(after.serving.issuer(&after.authorities(), world.now), Some(&after.authority.certificate));

    // The old CA stays while this replica serves with its certificate, however long that takes.
    world = world.days(2);
    assert!(world.keeps());
    world.serve();
    assert_eq!(whys(&world.step()), ["an earlier CA is no longer in use"]);
    assert_eq!(world.material().previous, []);
    assert!(world.keeps());
}

#[test]
fn the_second_step_waits_for_a_bundle_without_a_break() {
    let mut world = World::running();
    world.data.remove("ca.key");
    assert_eq!(whys(&world.step()), ["the CA has lost its key, which asks for a new one"]);
    world = world.later(4 * MINUTE);
    world.trust.observe(world.now, Some(&configuration(&["", ""])));
    world = world.later(4 * MINUTE);
    assert!(world.keeps());
    world.step();
    world = world.later(4 * MINUTE);
    assert!(world.keeps());
    assert!(!world.later(MINUTE).keeps());
}

#[test]
fn an_entry_without_the_new_ca_holds_the_second_step_back() {
    let mut world = World::running();
    let old = world.material().bundle();
    world.data.remove("ca.key");
    world.step();
    world.trust.observe(world.now, Some(&configuration(&[&world.material().bundle(), &old])));
    assert!(world.later(DAY).keeps());
}

#[test]
fn without_a_webhook_configuration_there_is_nobody_to_wait_for() {
    let mut world = World::running();
    world.data.remove("ca.key");
    world.step();
    world.trust.observe(world.now, None);
    assert_eq!(whys(&world.draft().reasons), ["the serving pair was signed by a CA that has been replaced"]);
}

#[test]
fn a_restart_between_the_steps_starts_the_wait_anew() {
    let mut world = World::running();
    world.data.remove("ca.key");
    world.step();
    let mut world = world.later(10 * MINUTE).restarted();
    world.serve_from_secret();
    assert!(world.keeps());
    let world = world.later(6 * MINUTE);
    assert!(!world.keeps());
}

impl World {
    fn serve_from_secret(&mut self) {
        assert_eq!(self.step(), []);
        self.serve();
    }
}

// === Damage ===

#[rstest]
#[case("tls.crt", "junk", SecretPart::Serving, Flaw::NoPem("certificate"))]
#[case(
    "tls.crt",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    SecretPart::Serving,
    Flaw::Unreadable
)]
#[case("tls.crt", "", SecretPart::Serving, Flaw::NoPem("certificate"))]
#[case("tls.key", "junk", SecretPart::Serving, Flaw::NoPem("private key"))]
#[case("tls.key", "", SecretPart::Serving, Flaw::NoPem("private key"))]
#[case("ca.crt", "junk", SecretPart::Authority, Flaw::NoPem("certificate"))]
#[case("ca.crt", "", SecretPart::Authority, Flaw::Mismatch)]
#[case("ca.key", "junk", SecretPart::Authority, Flaw::NoPem("private key"))]
fn a_malformed_part_is_restored_from_memory(
    #[case] key: &str,
    #[case] value: &str,
    #[case] part: SecretPart,
    #[case] flaw: Flaw,
) {
    let mut world = World::running().set(key, value);
    let before = world.material();
    let reasons = world.step();
    assert!(reasons.contains(&because(part, Why::Flawed(flaw))), "{reasons:?}");
    assert!(reasons.contains(&because(part, Why::Restored)), "{reasons:?}");
    assert!(reasons.iter().any(Reason::is_damage));
    assert_eq!(world.material(), before);
    assert!(world.keeps());
}

#[rstest]
#[case("tls.crt", "junk")]
#[case("tls.key", "junk")]
#[case("ca.crt", "junk")]
#[case("ca.key", "junk")]
fn a_malformed_part_is_replaced_by_a_replica_that_remembers_nothing(#[case] key: &str, #[case] value: &str) {
    let mut world = World::running().set(key, value).restarted();
    assert!(!world.step().is_empty());
    let material = world.material();
    assert!(material.serving.issuer(&material.authorities(), world.now).is_some());
    assert!(world.keeps());
}

#[test]
fn a_ca_without_a_key_stays_trusted_beside_the_new_one() {
    let mut world = World::running().set("ca.key", "junk");
    let before = world.material();
    world = world.restarted();
    world.step();
    assert_eq!(world.material().previous, [before.authority.certificate]);
    assert_eq!(world.material().serving, before.serving);
}

#[test]
fn an_unreadable_bundle_never_loses_the_ca_that_is_in_use() {
    // Another replica, which remembered nothing, has made a new CA and a new pair.
    let mut world = World::running();
    let before = world.material();
    let mut other = World::new().set("ca.crt", "junk");
    other.step();
    world.data = other.data;
    assert_eq!(
        whys(&world.step()),
        ["an earlier CA signed the pair that this replica serves with, and stays trusted for now"]
    );
    assert_eq!(world.material().previous, [before.authority.certificate]);
    assert!(world.keeps());
}

#[test]
fn a_key_of_another_certificate_is_no_pair() {
    let other = World::running().material();
    let mut world = World::running().set("tls.key", other.serving.key_pem());
    let reasons = world.step();
    assert_eq!(reasons[0], because(SecretPart::Serving, Why::Flawed(Flaw::Mismatch)));
    let mut world = World::running().set("ca.key", other.authority.key_pem()).restarted();
    assert_eq!(world.step()[0], because(SecretPart::Authority, Why::Flawed(Flaw::Mismatch)));
}

#[test]
fn a_serving_certificate_is_no_ca() {
    let world = World::running();
    let serving = world.material().serving;
    let world = world.set("ca.crt", serving.chain_pem()).set("ca.key", serving.key_pem()).restarted();
    let draft = world.draft();
    assert_eq!(draft.reasons[0], because(SecretPart::Authority, Why::Flawed(Flaw::NotCa)));
    assert_eq!(draft.previous, [], "what is no CA does not belong into the bundle");
}

#[test]
fn a_pair_of_a_foreign_ca_is_replaced() {
    let other = World::running().material();
    let world = World::running().restarted();
    let mut world = world.set("tls.crt", other.serving.chain_pem()).set("tls.key", other.serving.key_pem());
    assert_eq!(whys(&world.step()), ["the serving pair was signed by no CA of the bundle"]);
    assert!(world.keeps());
}

#[test]
fn a_ca_that_somebody_else_made_is_used() {
    let world = World::new();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap();
    // As openssl writes it, with the curve's parameters first.
    let mut world = world.set("ca.crt", ca.pem()).set("ca.key", format!("\n{}", key.serialize_pem()));
    // Its life of two thousand years is not over by two thirds.
    assert_eq!(whys(&world.step()), ["the serving pair is missing"]);
    assert_eq!(world.material().authority.certificate.der(), &**ca.der());
    assert!(world.keeps());
}

/// Found by fuzzing: the pair that it signed was taken for that of a foreign CA and replaced at every look, or to sign
/// panicked.
#[rstest]
#[case::length(1, 9)]
#[case::identifier(6, 0x56)]
fn a_ca_that_nobody_would_trust_is_replaced(#[case] place: usize, #[case] change: u8) {
    let mut world = World::running();
    let mut der = world.material().authority.certificate.der().to_vec();
    // A common name, for the second time: that of the subject.
    let is_name = |bytes: &[u8]| bytes[0] == 0x31 && bytes[2] == 0x30 && bytes[4..9] == [0x06, 0x03, 0x55, 0x04, 0x03];
    let subject = der.windows(9).enumerate().filter(|(_, bytes)| is_name(bytes)).nth(1).unwrap().0;
    der[subject + place] += change;
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    world = world.set("ca.crt", pem).restarted();
    assert_eq!(whys(&world.step()), ["the serving pair was signed by no CA of the bundle"]);
    assert!(world.keeps());
}

// === Loss ===

#[test]
fn a_deleted_secret_is_written_again_from_memory() {
    let mut world = World::running();
    let before = world.material();
    world.data = Data::new();
    assert_eq!(
        whys(&world.step()),
        [
            "the CA is missing",
            "the CA is taken from the memory of this replica",
            "the serving pair is missing",
            "the serving pair is taken from the memory of this replica",
        ]
    );
    assert_eq!(world.material(), before);
}

#[test]
fn an_expired_memory_is_no_use() {
    let mut world = World::running().days(400);
    world.data = Data::new();
    world.step();
    let material = world.material();
    assert_eq!(material.previous, []);
    assert!(material.authority.certificate.is_current(world.now));
    assert!(material.serving.issuer(&material.authorities(), world.now).is_some());
}

#[test]
fn everything_expired_is_replaced_at_once() {
    let mut world = World::running().days(400).restarted();
    let reasons = world.step();
    let expired = |part| reasons.iter().any(|reason| reason.part == part && matches!(reason.why, Why::Expired(_)));
    assert!(
        expired(SecretPart::Authority) && expired(SecretPart::Serving) && expired(SecretPart::Previous),
        "{reasons:?}"
    );
    assert!(world.keeps());
}

#[test]
fn an_expired_pair_is_replaced_although_the_new_ca_is_not_trusted_yet() {
    let mut world = World::running();
    world.data.remove("ca.key");
    world.step();
    world = world.days(91).restarted();
    let draft = world.draft();
    assert!(draft.serving.is_none() && draft.authority.is_some());
}

// === Clocks ===

#[test]
fn a_clock_that_is_behind_within_the_backdating_does_not_matter() {
    let mut world = World::running();
    world.now = earlier(world.now, 59 * MINUTE);
    assert!(world.keeps());
}

#[test]
fn certificates_from_the_future_are_replaced_by_ones_that_both_clocks_accept() {
    let mut world = World::running();
    let ahead = world.now;
    world.now = earlier(world.now, Duration::from_hours(30));
    let world_behind = &mut world.restarted();
    let reasons = world_behind.step();
    assert!(matches!(reasons[0], Reason { part: SecretPart::Authority, why: Why::Early(_) }), "{reasons:?}");
    assert!(world_behind.keeps());
    // For the clock that is ahead they are a day old, so the old CA is taken to be out of use.
    world_behind.now = ahead;
    assert_eq!(whys(&world_behind.step()), ["an earlier CA is no longer in use"]);
    assert!(world_behind.keeps());
}

#[test]
fn a_clock_that_was_put_back_does_not_lengthen_the_wait() {
    let mut trust = Trust::default();
    let material = World::running().material();
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let bundle = configuration(&[&material.bundle()]);
    trust.observe(now, Some(&bundle));
    let earlier = earlier(now, DAY);
    trust.observe(earlier, Some(&bundle));
    assert_eq!(trust.since(&material.authority.certificate), Some(earlier));
}

// === Names ===

#[test]
fn a_name_more_makes_a_new_pair_under_the_same_ca() {
    let mut world = World::running();
    let before = world.material();
    world.settings.names.insert("webhook.example".to_owned());
    world.settings.names.insert("10.1.2.3".to_owned());
    assert_eq!(whys(&world.step()), ["the serving pair is not for 10.1.2.3, webhook.example"]);
    let after = world.material();
    assert_eq!(after.authority, before.authority);
    assert_eq!(after.serving.certificate.names, world.settings.all_names());
}

#[test]
fn replicas_with_different_names_agree() {
    let mut world = World::running();
    let names = |name: &str| BTreeSet::from([name.to_owned()]);
    world.settings.names = names("a.example");
    world.step();
    world.settings.names = names("b.example");
    world.step();
    assert!(world.keeps());
    world.settings.names = names("a.example");
    assert!(world.keeps());
    // A name that nobody asks for any more goes with the next replacement.
    world.settings.names = names("b.example");
    let mut world = world.days(61);
    world.step();
    assert_eq!(world.material().serving.certificate.names, world.settings.all_names());
}

#[test]
fn another_service_name_waits_for_a_new_ca() {
    let mut world = World::running();
    world.data.remove("ca.key");
    world.step();
    world.settings.service = "other".to_owned();
    assert!(world.keeps());
    world = world.later(5 * MINUTE);
    world.step();
    assert_eq!(world.material().serving.lacks(&world.settings.all_names()), Vec::<String>::new());
}

// === x509 ===

#[test]
fn a_chain_with_an_intermediate_is_a_pair() {
    let settings = KeeperSettings::new("a");
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let root = make_authority(now, &settings).unwrap();
    let serving = make_serving(now, &settings, &settings.all_names(), &root).unwrap();
    let chain = serving.chain_pem() + &root.chain_pem();
    let pair = Pair::read(chain.as_bytes(), serving.key_pem().as_bytes()).unwrap();
    assert_eq!(pair.chain_pem(), chain);
    assert!(pair.issuer(std::slice::from_ref(&root.certificate), now).is_some());
}

#[test]
fn a_root_out_of_its_dates_is_not_trusted() {
    let world = World::running();
    let material = world.material();
    let late = later(material.authority.certificate.not_after, MINUTE);
    assert_eq!(material.serving.issuer(&material.authorities(), late), None);
}

#[test]
fn pem_is_as_others_write_it() {
    let material = World::running().material();
    let pem = material.authority.certificate.pem();
    assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
    assert_eq!(Certificate::read_all(pem.as_bytes()).unwrap(), [material.authority.certificate]);
}

#[test]
fn keys_are_not_printed() {
    let material = World::running().material();
    assert!(!format!("{material:?}").contains("PRIVATE"));
}

// === Bundle ===

#[test]
fn a_patch_owns_the_bundles_only() {
    let patch = configuration(&["", "x"]).patch("bundle");
    let entry = |index| json!({"name": format!("{index}.native-sidecar.io"), "clientConfig": {"caBundle": "YnVuZGxl"}});
    assert_eq!(
        patch,
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "zz-native-sidecar", "resourceVersion": "7"},
            "webhooks": [entry(0), entry(1)],
        })
    );
}

#[test]
fn only_what_every_entry_trusts_is_trusted() {
    let (a, b) = (World::running().material(), World::running().material());
    let both = a.bundle() + &b.bundle();
    assert_eq!(configuration(&[&both, &a.bundle()]).trusted(), a.authorities());
    assert_eq!(configuration(&[&both, ""]).trusted(), []);
    assert_eq!(configuration(&[]).trusted(), []);
    assert_eq!(configuration(&[&both, &a.bundle()]).unlike(&both), ["1.native-sidecar.io"]);
}

// === KeeperSettings ===

#[test]
fn names_of_the_service_and_those_given() {
    let settings = KeeperSettings { names: BTreeSet::from(["10.0.0.1".to_owned()]), ..KeeperSettings::new("sidecars") };
    let names = ["10.0.0.1", "native-sidecar.sidecars.svc", "native-sidecar.sidecars.svc.cluster.local"];
    assert_eq!(settings.all_names().into_iter().collect::<Vec<_>>(), names);
    assert_eq!(settings.check(), Ok(()));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = KeeperSettings::new("a");
    let names = BTreeSet::from(["no name".to_owned()]);
    let error = KeeperSettings { names, ..good.clone() }.check().unwrap_err();
    assert!(error.to_string().contains("no name"), "{error}");
    let error = KeeperSettings { serving_lifetime: 20 * MINUTE, ..good.clone() }.check().unwrap_err();
    assert!(error.to_string().contains("1800 s"), "{error}");
    let error = KeeperSettings { authority_lifetime: 100 * DAY, ..good.clone() }.check().unwrap_err();
    assert!(matches!(error, SettingsError::AuthorityLifetime { .. }), "{error}");
    let error = KeeperSettings { authority_lifetime: Duration::MAX, ..good }.check().unwrap_err();
    assert_eq!(error, SettingsError::TooLong);
}
