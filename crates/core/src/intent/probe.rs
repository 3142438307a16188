//! The value of `startup-probe.native-sidecar.io/<container>`, checked as strictly as the API server would:
//! a probe that it refuses would take the whole pod with it.

use serde_json::{Map, Value, json};
use std::str::FromStr;

/// What must succeed before the application starts.
#[derive(Clone, Debug, PartialEq)]
pub enum StartupProbe {
    /// No startup probe, not even one that the container brings.
    Absent,
    /// The container's own readiness probe, asked patiently.
    Readiness,
    /// The one that the catalogue knows, with what the vendor needs for it turned on.
    Vendor,
    /// This probe, as Kubernetes writes it.
    Probe(Value),
}

/// Why a value is no startup probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// None of the short forms.
    #[error(
        "expected none, readiness, vendor, http:PORT/PATH, https:PORT/PATH, tcp:PORT, grpc:PORT[/SERVICE] or a probe as JSON"
    )]
    Form,
    /// A port outside 1-65535.
    #[error("expected a port from 1 to 65535 after `{0}:`")]
    Port(String),
    /// JSON that is broken or no object.
    #[error("the probe is no JSON object: {0}")]
    Json(String),
    /// A JSON probe that the API server would refuse.
    #[error("the API server would refuse the probe: {0}")]
    Refused(String),
}

/// How often and how long a probe of ours asks: every second, for two minutes.
const PERIOD_SECONDS: u32 = 1;
const FAILURE_THRESHOLD: u32 = 120;

const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const NUMBERS: [(&str, i64); 6] = [
    ("initialDelaySeconds", 0),
    ("timeoutSeconds", 0),
    ("periodSeconds", 0),
    ("failureThreshold", 0),
    ("successThreshold", 0),
    ("terminationGracePeriodSeconds", 1),
];

/// `handler` asked every second for up to two minutes: with Kubernetes' defaults (three tries, ten seconds
/// apart) a sidecar that is slow to start would be killed again and again.
#[must_use]
pub fn patient_probe(mut handler: Map<String, Value>) -> Value {
    handler.insert("periodSeconds".into(), PERIOD_SECONDS.into());
    handler.insert("failureThreshold".into(), FAILURE_THRESHOLD.into());
    Value::Object(handler)
}

// === impl StartupProbe ===

impl FromStr for StartupProbe {
    type Err = ProbeError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            "none" => return Ok(Self::Absent),
            "readiness" => return Ok(Self::Readiness),
            "vendor" => return Ok(Self::Vendor),
            json if json.starts_with('{') => return from_json(json).map(Self::Probe),
            _ => {}
        }
        let (kind, target) = value.split_once(':').ok_or(ProbeError::Form)?;
        let (port, path) = target.split_once('/').map_or((target, None), |(port, path)| (port, Some(path)));
        let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| ProbeError::Port(kind.into()))?;
        let handler = match (kind, path) {
            ("http", path) => json!({"httpGet": {"path": absolute(path), "port": port}}),
            ("https", path) => json!({"httpGet": {"path": absolute(path), "port": port, "scheme": "HTTPS"}}),
            ("tcp", None) => json!({"tcpSocket": {"port": port}}),
            ("grpc", None) => json!({"grpc": {"port": port}}),
            ("grpc", Some(service)) => json!({"grpc": {"port": port, "service": service}}),
            _ => return Err(ProbeError::Form),
        };
        match handler {
            Value::Object(handler) => Ok(Self::Probe(patient_probe(handler))),
            _ => Err(ProbeError::Form),
        }
    }
}

fn absolute(path: Option<&str>) -> String {
    format!("/{}", path.unwrap_or_default())
}

/// Source: Kubernetes pkg/apis/core/validation/validation.go, `validateProbe` and `validateHandler`.
fn from_json(text: &str) -> Result<Value, ProbeError> {
    let value: Value = serde_json::from_str(text).map_err(|error| ProbeError::Json(error.to_string()))?;
    let Value::Object(probe) = &value else { return Err(ProbeError::Json("it is not an object".into())) };
    for (key, value) in probe.iter().filter(|(_, value)| !value.is_null()) {
        check_field(key, value).map_err(ProbeError::Refused)?;
    }
    let is_handler = |(key, value): &(&String, &Value)| HANDLERS.contains(&key.as_str()) && !value.is_null();
    let handlers = probe.iter().filter(is_handler).count();
    if handlers != 1 {
        return Err(ProbeError::Refused(format!("it needs exactly one of {}, found {handlers}", HANDLERS.join(", "))));
    }
    Ok(value)
}

fn check_field(key: &str, value: &Value) -> Result<(), String> {
    if let Some((_, least)) = NUMBERS.iter().find(|(name, _)| *name == key) {
        return check_number(key, value, *least);
    }
    let Value::Object(handler) = value else { return Err(format!("{key} is not a field of a probe")) };
    match key {
        "exec" => only(handler, &["command"]).and_then(|()| check_command(handler.get("command"))),
        "httpGet" => check_http_get(handler),
        "tcpSocket" => {
            only(handler, &["host", "port"])?;
            check_text(handler, "host")?;
            check_port(handler.get("port"), true)
        }
        "grpc" => {
            only(handler, &["port", "service"])?;
            check_text(handler, "service")?;
            check_port(handler.get("port"), false)
        }
        _ => Err(format!("{key} is not a field of a probe")),
    }
}

fn check_number(key: &str, value: &Value, least: i64) -> Result<(), String> {
    let number = value.as_i64().filter(|number| (least..=i64::from(i32::MAX)).contains(number));
    match (key, number) {
        (_, None) => Err(format!("{key} must be a whole number from {least} to {}", i32::MAX)),
        ("successThreshold", Some(number)) if number > 1 => Err("successThreshold of a startup probe must be 1".into()),
        _ => Ok(()),
    }
}

fn check_command(command: Option<&Value>) -> Result<(), String> {
    match command {
        Some(Value::Array(words)) if !words.is_empty() && words.iter().all(Value::is_string) => Ok(()),
        _ => Err("exec.command must be a list of strings".into()),
    }
}

fn check_http_get(handler: &Map<String, Value>) -> Result<(), String> {
    only(handler, &["path", "port", "host", "scheme", "httpHeaders"])?;
    check_port(handler.get("port"), true)?;
    check_text(handler, "host")?;
    if handler.get("path").is_some_and(|path| path.as_str().is_none_or(str::is_empty)) {
        return Err("httpGet.path must be a string that is not empty".into());
    }
    if handler.get("scheme").is_some_and(|scheme| !matches!(scheme.as_str(), Some("HTTP" | "HTTPS"))) {
        return Err("httpGet.scheme must be HTTP or HTTPS".into());
    }
    let headers = handler.get("httpHeaders").map_or(Some(&[][..]), |list| list.as_array().map(Vec::as_slice));
    let header = |entry: &Value| {
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        let known = entry.as_object().is_some_and(|entry| only(entry, &["name", "value"]).is_ok());
        let valid = known && !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        valid && entry.get("value").is_some_and(Value::is_string)
    };
    if headers.is_some_and(|list| list.iter().all(header)) {
        Ok(())
    } else {
        Err("httpGet.httpHeaders must be a list of name and value".into())
    }
}

/// A field of another type could not even be decoded, which fails the whole request.
fn check_text(handler: &Map<String, Value>, field: &str) -> Result<(), String> {
    match handler.get(field) {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(format!("{field} must be a string")),
    }
}

fn only(handler: &Map<String, Value>, fields: &[&str]) -> Result<(), String> {
    match handler.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(format!("{key} is not one of {}", fields.join(", "))),
        None => Ok(()),
    }
}

fn check_port(port: Option<&Value>, name_allowed: bool) -> Result<(), String> {
    let valid = match port {
        Some(Value::Number(number)) => number.as_u64().is_some_and(|port| (1..=65535).contains(&port)),
        Some(Value::String(name)) => name_allowed && is_port_name(name),
        _ => false,
    };
    if valid { Ok(()) } else { Err("port must be a number from 1 to 65535 or the name of a port".into()) }
}

/// Source: k8s.io/apimachinery/pkg/util/validation, `IsValidPortName` (RFC 6335).
fn is_port_name(name: &str) -> bool {
    let allowed = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let letters = name.chars().any(|c| c.is_ascii_lowercase());
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    (1..=15).contains(&name.len()) && allowed && letters && !hyphens
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("http:9090/startup", json!({"httpGet": {"path": "/startup", "port": 9090}}))]
    #[case("http:9090", json!({"httpGet": {"path": "/", "port": 9090}}))]
    #[case("https:8443/ready?full=1", json!({"httpGet": {"path": "/ready?full=1", "port": 8443, "scheme": "HTTPS"}}))]
    #[case("tcp:5432", json!({"tcpSocket": {"port": 5432}}))]
    #[case("grpc:50051", json!({"grpc": {"port": 50051}}))]
    #[case("grpc:50051/db", json!({"grpc": {"port": 50051, "service": "db"}}))]
    fn short_forms_ask_patiently(#[case] value: &str, #[case] handler: Value) {
        let Value::Object(handler) = handler else { unreachable!("every case is an object") };
        assert_eq!(value.parse(), Ok(StartupProbe::Probe(patient_probe(handler))));
    }

    #[rstest]
    #[case("none", StartupProbe::Absent)]
    #[case("readiness", StartupProbe::Readiness)]
    #[case("vendor", StartupProbe::Vendor)]
    fn words(#[case] value: &str, #[case] expected: StartupProbe) {
        assert_eq!(value.parse(), Ok(expected));
    }

    #[test]
    fn a_json_probe_is_taken_as_it_is() {
        let text = r#"{"exec":{"command":["true"]},"failureThreshold":7,"httpGet":null}"#;
        let expected = json!({"exec": {"command": ["true"]}, "failureThreshold": 7, "httpGet": null});
        assert_eq!(text.parse(), Ok(StartupProbe::Probe(expected)));
    }

    #[rstest]
    #[case::port("http:0/x")]
    #[case::port_range("tcp:70000")]
    #[case::port_missing("grpc:")]
    #[case::path_of_tcp("tcp:80/x")]
    #[case::kind("udp:53")]
    #[case::word("startup")]
    #[case::broken_json("{")]
    #[case::no_handler("{}")]
    #[case::two_handlers(r#"{"tcpSocket":{"port":1},"grpc":{"port":1}}"#)]
    #[case::unknown_field(r#"{"tcpSocket":{"port":1},"period":1}"#)]
    #[case::unknown_handler_field(r#"{"tcpSocket":{"port":1,"prt":1}}"#)]
    #[case::negative(r#"{"tcpSocket":{"port":1},"periodSeconds":-1}"#)]
    #[case::fraction(r#"{"tcpSocket":{"port":1},"periodSeconds":1.5}"#)]
    #[case::success_threshold(r#"{"tcpSocket":{"port":1},"successThreshold":2}"#)]
    #[case::empty_command(r#"{"exec":{"command":[]}}"#)]
    #[case::path(r#"{"httpGet":{"port":1,"path":""}}"#)]
    #[case::path_type(r#"{"httpGet":{"port":1,"path":5}}"#)]
    #[case::command_field(r#"{"exec":{"command":["true"],"shell":true}}"#)]
    #[case::header_field(r#"{"httpGet":{"port":1,"httpHeaders":[{"name":"a","value":"b","x":1}]}}"#)]
    #[case::scheme(r#"{"httpGet":{"port":1,"scheme":"FTP"}}"#)]
    #[case::host(r#"{"tcpSocket":{"port":1,"host":5}}"#)]
    #[case::http_host(r#"{"httpGet":{"port":1,"host":true}}"#)]
    #[case::service(r#"{"grpc":{"port":1,"service":7}}"#)]
    #[case::header_name(r#"{"httpGet":{"port":1,"httpHeaders":[{"name":"X_Y","value":""}]}}"#)]
    #[case::headers(r#"{"httpGet":{"port":1,"httpHeaders":[{"name":"a b","value":""}]}}"#)]
    #[case::port_name(r#"{"httpGet":{"port":"not a port"}}"#)]
    #[case::grpc_port_name(r#"{"grpc":{"port":"http"}}"#)]
    fn what_the_api_server_would_refuse_is_refused(#[case] value: &str) {
        assert!(value.parse::<StartupProbe>().is_err(), "{value}");
    }
}
