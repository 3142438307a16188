//! The report as SARIF 2.1.0, the part of it that code scanning reads.
//!
//! Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use super::{
    Subject,
    line::{Line, lines},
};
use crate::cli::{
    codes::{Described, described},
    level::Level,
};
use native_sidecar_manifest::{ObjectName, Position};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const REPOSITORY: &str = "https://github.com/native-sidecar/native-sidecar";

#[derive(Serialize)]
struct Log<'r> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'r>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'r> {
    tool: Tool<'r>,
    column_kind: &'static str,
    results: Vec<ResultOf<'r>>,
}

#[derive(Serialize)]
struct Tool<'r> {
    driver: Driver<'r>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'r> {
    name: &'static str,
    version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'r> {
    id: &'r str,
    short_description: Text,
    full_description: Text,
    help: Text,
    help_uri: String,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultOf<'r> {
    rule_id: &'r str,
    rule_index: usize,
    level: &'static str,
    message: Text,
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    justification: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<LogicalLocation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
    kind: &'static str,
}

pub(super) fn report(subject: Subject<'_>) -> Result<String, serde_json::Error> {
    let lines = lines(subject);
    let codes: BTreeSet<_> = lines.iter().map(|line| line.code).collect();
    let indices: BTreeMap<_, _> = codes.iter().enumerate().map(|(index, code)| (*code, index)).collect();
    let driver = Driver {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        information_uri: REPOSITORY,
        rules: codes.iter().map(|code| Rule::of(code)).collect(),
    };
    let results = lines.iter().map(|line| ResultOf::of(line, indices[line.code])).collect();
    let run = Run { tool: Tool { driver }, column_kind: "unicodeCodePoints", results };
    Ok(serde_json::to_string_pretty(&Log { schema: SCHEMA, version: "2.1.0", runs: [run] })? + "\n")
}

/// A path as a URI reference (RFC 3986): what may not stand in one is in percent.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(byte.into()),
            _ => uri.extend(format!("%{byte:02X}").chars()),
        }
    }
    uri
}

// === impl Rule ===

impl<'r> Rule<'r> {
    fn of(code: &'r str) -> Self {
        let described = described(code);
        let text = |part: fn(Described) -> &'static str| described.map_or(code, part).to_owned();
        Self {
            id: code,
            short_description: Text { text: text(|described| described.meaning) },
            full_description: Text { text: text(|described| described.why) },
            help: Text { text: text(|described| described.remedy) },
            help_uri: format!("{REPOSITORY}/blob/main/docs/findings.md#{code}"),
        }
    }
}

// === impl ResultOf ===

impl<'r> ResultOf<'r> {
    fn of(line: &Line<'r>, rule_index: usize) -> Self {
        let level = match line.level {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Blocker | Level::Fatal | Level::Error => "error",
        };
        let logical =
            |object: &ObjectName| LogicalLocation { fully_qualified_name: object.to_string(), kind: "resource" };
        let location = |file| Location {
            physical_location: PhysicalLocation {
                artifact_location: ArtifactLocation { uri: uri(file) },
                region: line
                    .position
                    .map(|Position { line, column }| Region { start_line: line, start_column: column }),
            },
            logical_locations: line.object.map(logical).into_iter().collect(),
        };
        let accepted = Suppression { kind: "inSource", justification: "accepted by native-sidecar.io/accept" };
        Self {
            rule_id: line.code,
            rule_index,
            level,
            message: Text { text: line.message.clone() },
            locations: line.file.map(location).into_iter().collect(),
            suppressions: if line.accepted { vec![accepted] } else { Vec::new() },
        }
    }
}
