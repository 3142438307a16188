//! The loops of `cluster` against a real API server, with exactly the rights that the manifests give.
//!
//! ```sh
//! tests/cluster/control-plane/with -- cargo test --test cluster_live -- --ignored
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::unwrap_in_result, reason = "in tests a panic is the report")]

use arc_swap::ArcSwap;
use axum::{Router, routing::post};
use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{ConfigMap, Namespace, Node, ResourceQuota, Secret},
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use native_sidecar::cluster::{
    certificates::{self, CertificateSink, Keeper, KeeperSettings},
    facts::{self, Surveyor},
};
use native_sidecar_core::{conversion::ClusterFacts, version::Version};
use prometheus_client::registry::Registry;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    error::Error,
    fmt::Debug,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

const SECRET: &str = "native-sidecar-tls";
const MINUTE: Duration = Duration::from_mins(1);
/// How long something may take that is sure to come, on however busy a machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// A namespace of its own, a webhook that allows everything, and the rights of the manifests.
struct Cluster {
    admin: Client,
    replica: Client,
    namespace: String,
    address: SocketAddr,
    tls: RustlsConfig,
}

/// Gives the pair to a real TLS server.
#[derive(Clone)]
struct Sink(RustlsConfig);

impl CertificateSink for Sink {
    fn install(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.reload_from_config(Arc::new(server_config(chain_pem, key_pem)?));
        Ok(())
    }
}

fn server_config(chain_pem: &[u8], key_pem: &[u8]) -> Result<ServerConfig, Box<dyn Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(chain_pem).collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_slice(key_pem)?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn parse<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

async fn create<K>(api: Api<K>, object: Value) -> K
where
    K: Clone + DeserializeOwned + Serialize + Debug,
{
    api.create(&PostParams::default(), &parse(object)).await.unwrap()
}

impl Cluster {
    async fn new() -> Self {
        let config = Config::infer().await.unwrap();
        let admin = Client::try_from(config.clone()).unwrap();
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespace = json!({"metadata": {"generateName": "sidecars-", "labels": labels}});
        let namespace: Namespace = create(Api::all(admin.clone()), namespace).await;
        let namespace = namespace.metadata.name.unwrap();
        let mut config = config;
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{namespace}:native-sidecar"));
        let replica = Client::try_from(config).unwrap();
        let (address, tls) = serve();
        let cluster = Self { admin, replica, namespace, address, tls };
        cluster.grant().await;
        cluster.ship().await;
        cluster
    }

    /// The rights of the manifests, and no others.
    async fn grant(&self) {
        let name = &self.namespace;
        let meta = json!({"name": name});
        let rule = |group: &str, resource: &str, verbs: &[&str], names: &[&str]| {
            let rule = json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
            let mut rule = rule;
            if !names.is_empty() {
                rule["resourceNames"] = json!(names);
            }
            rule
        };
        let rules = [rule("", "secrets", &["get", "update"], &[SECRET]), rule("", "pods", &["create"], &[])];
        create::<Role>(self.api(), json!({"metadata": meta, "rules": rules})).await;
        let webhooks = "mutatingwebhookconfigurations";
        let rules = [
            rule("admissionregistration.k8s.io", webhooks, &["get", "patch"], &[&self.configuration()]),
            rule("", "nodes", &["list"], &[]),
        ];
        create::<ClusterRole>(Api::all(self.admin.clone()), json!({"metadata": meta, "rules": rules})).await;
        let subject = json!([{"kind": "ServiceAccount", "name": "native-sidecar", "namespace": name}]);
        let reference = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
        let binding = json!({"metadata": meta, "subjects": subject, "roleRef": reference("Role")});
        create::<RoleBinding>(self.api(), binding).await;
        let binding = json!({"metadata": meta, "subjects": subject, "roleRef": reference("ClusterRole")});
        create::<ClusterRoleBinding>(Api::all(self.admin.clone()), binding).await;
    }

    /// The empty Secret and the webhook configuration, as the manifests ship them.
    async fn ship(&self) {
        create::<Secret>(self.api(), json!({"metadata": {"name": SECRET}, "type": "Opaque"})).await;
        create::<MutatingWebhookConfiguration>(Api::all(self.admin.clone()), self.manifest()).await;
    }

    /// For config maps with a label of this test, so that a call shows whether the API server trusts the pair.
    fn manifest(&self) -> Value {
        let webhook = |entry: &str| {
            json!({
                "name": format!("{entry}.native-sidecar.io"),
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 5,
                "objectSelector": {"matchLabels": {"test": self.namespace}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
                "clientConfig": {"url": format!("https://{}/{entry}", self.address)},
            })
        };
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.configuration()},
            "webhooks": [webhook("pods"), webhook("namespaces")],
        })
    }

    fn configuration(&self) -> String {
        format!("zz-{}", self.namespace)
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    fn keeper(&self) -> Keeper<Sink> {
        let mut settings = KeeperSettings::new(&self.namespace);
        settings.configuration = self.configuration();
        settings.names.insert("127.0.0.1".to_owned());
        let metrics = certificates::Metrics::register(&mut Registry::default());
        Keeper::new(self.replica.clone(), settings, Sink(self.tls.clone()), metrics).unwrap()
    }

    /// Whether the API server can call the webhook, which it does twice here.
    async fn is_called(&self) -> Result<(), kube::Error> {
        let object = json!({"metadata": {"generateName": "a-", "labels": {"test": self.namespace}}});
        self.api::<ConfigMap>().create(&PostParams::default(), &parse(object)).await.map(drop)
    }

    /// Waits until the API server acts on the configuration: it calls the webhook and trusts it, or does not.
    async fn waits_until_called(&self, trusted: bool) {
        let what = if trusted { "the webhook is called" } else { "a webhook that nobody trusts is called" };
        within(what, || async { self.is_called().await.is_ok() == trusted }).await;
    }

    async fn webhooks(&self) -> MutatingWebhookConfiguration {
        Api::all(self.admin.clone()).get(&self.configuration()).await.unwrap()
    }

    async fn bundles(&self) -> Vec<Vec<u8>> {
        let webhooks = self.webhooks().await.webhooks.unwrap();
        webhooks.into_iter().map(|webhook| webhook.client_config.ca_bundle.unwrap_or_default().0).collect()
    }

    /// What our field manager owns.
    async fn owned(&self) -> Vec<Value> {
        let managed = self.webhooks().await.metadata.managed_fields.unwrap();
        let ours = managed.into_iter().filter(|entry| entry.manager.as_deref() == Some("native-sidecar"));
        ours.map(|entry| serde_json::to_value(entry.fields_v1).unwrap()).collect()
    }

    async fn patch(&self, params: &PatchParams, patch: Patch<Value>) {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.admin.clone());
        api.patch(&self.configuration(), params, &patch).await.unwrap();
    }

    async fn empty(&self) {
        let mut object = self.webhooks().await;
        object.webhooks.iter_mut().flatten().for_each(|webhook| webhook.client_config.ca_bundle = None);
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.admin.clone());
        api.replace(&self.configuration(), &PostParams::default(), &object).await.unwrap();
    }

    async fn secret(&self) -> Value {
        serde_json::to_value(self.api::<Secret>().get(SECRET).await.unwrap().data).unwrap()
    }

    async fn clean(self) {
        let (name, params) = (&self.namespace, DeleteParams::default());
        let webhooks: Api<MutatingWebhookConfiguration> = Api::all(self.admin.clone());
        webhooks.delete(&self.configuration(), &params).await.unwrap();
        Api::<ClusterRole>::all(self.admin.clone()).delete(name, &params).await.unwrap();
        Api::<ClusterRoleBinding>::all(self.admin.clone()).delete(name, &params).await.unwrap();
        Api::<Namespace>::all(self.admin.clone()).delete(name, &params).await.unwrap();
    }
}

/// A webhook that allows everything, with a certificate that nobody trusts until it is given another.
fn serve() -> (SocketAddr, RustlsConfig) {
    let untrusted = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = untrusted.signing_key.serialize_pem();
    let tls =
        RustlsConfig::from_config(Arc::new(server_config(untrusted.cert.pem().as_bytes(), key.as_bytes()).unwrap()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let allow = |body: String| async move {
        let mut review: Value = serde_json::from_str(&body).unwrap();
        review["response"] = json!({"uid": review["request"]["uid"], "allowed": true});
        review.as_object_mut().unwrap().remove("request");
        // Each call makes a new connection, so that each call checks the certificate.
        ([("connection", "close")], review.to_string())
    };
    let router = Router::new().route("/{entry}", post(allow));
    let server = axum_server::from_tcp_rustls(listener, tls.clone()).unwrap().serve(router.into_make_service());
    tokio::spawn(server);
    (address, tls)
}

#[tokio::test]
#[ignore = "needs a real API server; see the top of this file"]
async fn certificates_and_bundle() {
    let cluster = Cluster::new().await;
    let now = Timestamp::now();
    cluster.waits_until_called(false).await;

    // Two replicas at once on the empty Secret.
    let (mut a, mut b) = (cluster.keeper(), cluster.keeper());
    let (first, second) = tokio::join!(a.tick(now), b.tick(now));
    first.unwrap();
    second.unwrap();
    assert!(*a.ready().borrow() && *b.ready().borrow());
    cluster.waits_until_called(true).await;

    // The field manager owns the bundles and the keys of the list, nothing else.
    let fields = json!({".": {}, "f:name": {}, "f:clientConfig": {"f:caBundle": {}}});
    let entries = json!({
        r#"k:{"name":"pods.native-sidecar.io"}"#: fields,
        r#"k:{"name":"namespaces.native-sidecar.io"}"#: fields,
    });
    assert_eq!(cluster.owned().await, [json!({"f:webhooks": entries})]);

    // A quiet tick changes nothing.
    let before = cluster.webhooks().await.metadata.resource_version;
    a.tick(now + MINUTE).await.unwrap();
    assert_eq!(cluster.webhooks().await.metadata.resource_version, before);

    // Emptied by hand; emptied by whoever applies the manifests with an empty caBundle and takes the field over.
    let bundles = cluster.bundles().await;
    cluster.empty().await;
    assert_ne!(cluster.bundles().await, bundles);
    a.tick(now + 2 * MINUTE).await.unwrap();
    assert_eq!(cluster.bundles().await, bundles);
    let mut manifest = cluster.manifest();
    manifest["webhooks"][0]["clientConfig"]["caBundle"] = json!("");
    cluster.patch(&PatchParams::apply("deployer").force(), Patch::Apply(manifest)).await;
    assert_ne!(cluster.bundles().await, bundles);
    a.tick(now + 3 * MINUTE).await.unwrap();
    assert_eq!(cluster.bundles().await, bundles);
    // Without caBundle in it the manifest can be applied again and again.
    cluster.patch(&PatchParams::apply("deployer").force(), Patch::Apply(cluster.manifest())).await;
    assert_eq!(cluster.bundles().await, bundles);
    cluster.waits_until_called(true).await;

    // A deleted Secret: creating is not allowed, and filling the one that is applied again brings back the same.
    let data = cluster.secret().await;
    cluster.api::<Secret>().delete(SECRET, &DeleteParams::default()).await.unwrap();
    let error = a.tick(now + 4 * MINUTE).await.unwrap_err().to_string();
    assert!(error.contains("cannot create Secret") && error.contains("403 Forbidden"), "{error}");
    create::<Secret>(cluster.api(), json!({"metadata": {"name": SECRET}, "type": "Opaque"})).await;
    a.tick(now + 5 * MINUTE).await.unwrap();
    assert_eq!(cluster.secret().await, data);

    // A new CA, in two steps; the API server can call at any time.
    cluster
        .api::<Secret>()
        .patch(SECRET, &PatchParams::default(), &Patch::Merge(json!({"data": {"ca.key": null}})))
        .await
        .unwrap();
    for minutes in [6, 7, 9, 12, 13, 14, 20] {
        a.tick(now + minutes * MINUTE).await.unwrap();
        cluster.is_called().await.unwrap();
        b.tick(now + minutes * MINUTE).await.unwrap();
        cluster.is_called().await.unwrap();
    }
    assert_ne!(cluster.secret().await["tls.crt"], data["tls.crt"]);
    assert_ne!(cluster.bundles().await, bundles);

    // Without the configuration the patch creates none.
    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(cluster.admin.clone());
    webhooks.delete(&cluster.configuration(), &DeleteParams::default()).await.unwrap();
    a.tick(now + 21 * MINUTE).await.unwrap();
    assert!(webhooks.get_opt(&cluster.configuration()).await.unwrap().is_none());
    create::<MutatingWebhookConfiguration>(webhooks, cluster.manifest()).await;
    a.tick(now + 22 * MINUTE).await.unwrap();
    cluster.waits_until_called(true).await;
    cluster.clean().await;
}

#[tokio::test]
#[ignore = "needs a real API server; see the top of this file"]
async fn cluster_facts() {
    let cluster = Cluster::new().await;
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let node = format!("node-{}", cluster.namespace);
    create::<Node>(nodes.clone(), json!({"metadata": {"name": node}})).await;
    let info = json!({
        "kubeletVersion": "v1.32.7+test", "architecture": "", "bootID": "", "containerRuntimeVersion": "",
        "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": "",
    });
    let status = Patch::Merge(json!({"status": {"nodeInfo": info}}));
    nodes.patch_status(&node, &PatchParams::default(), &status).await.unwrap();

    let published = Arc::new(ArcSwap::from_pointee(ClusterFacts::default()));
    let metrics = facts::Metrics::register(&mut Registry::default());
    let settings = facts::SurveyorSettings::new(&cluster.namespace);
    let mut surveyor = Surveyor::new(cluster.replica.clone(), settings, Arc::clone(&published), metrics);
    service_account(&cluster).await;
    surveyor.survey().await.unwrap();
    let facts = published.load_full();
    println!("{:?} {:?} {}", facts.server, facts.keeps_restart_policy, facts.kubelets().len());
    assert!(facts.server.unwrap() >= Version::new(1, 29, 0));
    assert_eq!(facts.keeps_restart_policy, Some(true), "also where Pod Security enforces restricted");
    assert_eq!(facts.kubelets()[&node], Version::new(1, 32, 7));

    // A quota in the way is no proof, and the pod is nowhere.
    create::<ResourceQuota>(cluster.api(), json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}))
        .await;
    surveyor.survey().await.unwrap();
    assert_eq!(published.load().keeps_restart_policy, Some(true));
    nodes.delete(&node, &DeleteParams::default()).await.unwrap();
    cluster.clean().await;
}

/// Pods want the service account `default`, which a controller makes a moment after the namespace.
async fn service_account(cluster: &Cluster) {
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = cluster.api();
    let is_there = || async { accounts.get_opt("default").await.unwrap().is_some() };
    within("the namespace has a service account", is_there).await;
}

/// Repeats a question until its answer is yes; what never comes ends the test.
async fn within<F: Future<Output = bool>>(what: &str, question: impl Fn() -> F) {
    let start = Instant::now();
    while !question().await {
        assert!(start.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
