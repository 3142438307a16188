//! Webhooks that may have dropped a field of a pod.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations};

/// The webhooks other than those of `own` that are called when a pod is created, as `configuration/webhook`.
pub(super) fn among(configurations: &[MutatingWebhookConfiguration], own: &str) -> Vec<String> {
    let mut names = Vec::new();
    for configuration in configurations {
        let name = configuration.metadata.name.as_deref().unwrap_or_default();
        let webhooks = configuration.webhooks.iter().flatten().filter(|webhook| name != own && is_called(webhook));
        names.extend(webhooks.map(|webhook| format!("{name}/{}", webhook.name)));
    }
    names
}

fn is_called(webhook: &MutatingWebhook) -> bool {
    webhook.rules.iter().flatten().any(is_for_pods)
}

/// Selectors are not looked at: the webhook may yet be called for pods elsewhere.
fn is_for_pods(rule: &RuleWithOperations) -> bool {
    let any = |values: &Option<Vec<String>>, wanted: &[&str]| {
        values.iter().flatten().any(|value| wanted.contains(&value.as_str()))
    };
    any(&rule.operations, &["CREATE", "*"])
        && any(&rule.api_groups, &["", "*"])
        && any(&rule.api_versions, &["v1", "*"])
        && any(&rule.resources, &["pods", "*", "*/*"])
        && rule.scope.as_deref() != Some("Cluster")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn configuration(name: &str, rule: &serde_json::Value) -> MutatingWebhookConfiguration {
        let webhook = json!({
            "name": "w", "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule],
        });
        serde_json::from_value(json!({"metadata": {"name": name}, "webhooks": [webhook]})).unwrap()
    }

    #[rstest]
    #[case("", "v1", "CREATE", "pods", "*", true)]
    #[case("*", "*", "*", "*", "Namespaced", true)]
    #[case("*", "*", "*", "*/*", "*", true)]
    #[case("", "v1", "UPDATE", "pods", "*", false)]
    #[case("", "v1", "CREATE", "pods/exec", "*", false)]
    #[case("apps", "v1", "CREATE", "*", "*", false)]
    #[case("", "v1beta1", "CREATE", "pods", "*", false)]
    #[case("*", "*", "*", "*", "Cluster", false)]
    fn rules(
        #[case] group: &str,
        #[case] version: &str,
        #[case] operation: &str,
        #[case] resource: &str,
        #[case] scope: &str,
        #[case] expected: bool,
    ) {
        let rule = json!({
            "apiGroups": [group], "apiVersions": [version], "operations": [operation], "resources": [resource], "scope": scope,
        });
        let names = among(&[configuration("a", &rule)], "zz-native-sidecar");
        assert_eq!(names == ["a/w"], expected, "{names:?}");
    }

    #[test]
    fn we_are_no_suspect() {
        let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
        assert!(among(&[configuration("zz-native-sidecar", &rule)], "zz-native-sidecar").is_empty());
    }
}
