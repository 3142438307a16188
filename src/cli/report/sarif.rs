//! The report as SARIF 2.1.0, the part of it that code scanning reads.
//!
//! Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use super::Subject;
use crate::cli::{
    codes::{Described, WOULD_CONVERT, described},
    convert::outcome::{FileOutcome, Level, Told},
};
use native_sidecar_manifest::Position;
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

/// One thing that is told, on its way to a result.
struct Line<'r> {
    file: &'r str,
    object: Option<String>,
    level: Level,
    code: &'r str,
    message: String,
    position: Option<Position>,
    accepted: bool,
}

pub(super) fn report(Subject { files, check, .. }: Subject<'_>) -> Result<String, serde_json::Error> {
    let lines: Vec<_> = files.iter().flat_map(|file| lines(file, check)).collect();
    let codes: BTreeSet<_> = lines.iter().map(|line| line.code).collect();
    let indices: BTreeMap<_, _> = codes.iter().enumerate().map(|(index, code)| (*code, index)).collect();
    let driver = Driver {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        information_uri: REPOSITORY,
        rules: codes.iter().map(|code| Rule::of(code)).collect(),
    };
    let results = lines.iter().map(|line| line.result(indices[line.code])).collect();
    let run = Run { tool: Tool { driver }, column_kind: "unicodeCodePoints", results };
    Ok(serde_json::to_string_pretty(&Log { schema: SCHEMA, version: "2.1.0", runs: [run] })? + "\n")
}

fn lines(file: &FileOutcome, check: bool) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for error in &file.errors {
        let message = error.message.clone();
        let (code, position) = (error.code, error.position);
        lines.push(Line {
            file: &file.name,
            object: None,
            level: Level::Error,
            code,
            message,
            position,
            accepted: false,
        });
    }
    for document in &file.documents {
        let object = document.object.to_string();
        lines.extend(document.findings.iter().map(|told| Line::of(&file.name, &object, told)));
        for template in &document.templates {
            let object = template.object.to_string();
            lines.extend(template.findings.iter().map(|told| Line::of(&file.name, &object, told)));
            if check && template.changes() {
                let names: Vec<_> = template.moved.iter().map(|moved| moved.container.as_str()).collect();
                let position = template.moved.first().and_then(|moved| moved.position).or(template.position);
                let message = format!("native-sidecar convert would move {}", names.join(", "));
                let (level, code) = (Level::Warning, WOULD_CONVERT);
                lines.push(Line {
                    file: &file.name,
                    object: Some(object),
                    level,
                    code,
                    message,
                    position,
                    accepted: false,
                });
            }
        }
    }
    lines
}

/// A path as a URI reference (RFC 3986): what may not stand in one is in percent.
fn uri(path: &str) -> String {
    let mut uri = String::new();
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

// === impl Line ===

impl<'r> Line<'r> {
    fn of(file: &'r str, object: &str, told: &'r Told) -> Self {
        let container = told.container.as_ref().map(|name| format!("container {name:?}: ")).unwrap_or_default();
        Self {
            file,
            object: Some(told.object.as_ref().map_or_else(|| object.to_owned(), ToString::to_string)),
            level: told.level,
            code: &told.code,
            message: format!("{container}{}", told.message),
            position: told.position,
            accepted: told.accepted,
        }
    }

    fn result(&self, rule_index: usize) -> ResultOf<'r> {
        let level = match self.level {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Blocker | Level::Fatal | Level::Error => "error",
        };
        let object = self.object.clone();
        let region = |Position { line, column }| Region { start_line: line, start_column: column };
        let physical_location = PhysicalLocation {
            artifact_location: ArtifactLocation { uri: uri(self.file) },
            region: self.position.map(region),
        };
        let logical = |object| LogicalLocation { fully_qualified_name: object, kind: "resource" };
        let accepted = Suppression { kind: "inSource", justification: "accepted by native-sidecar.io/accept" };
        ResultOf {
            rule_id: self.code,
            rule_index,
            level,
            message: Text { text: self.message.clone() },
            locations: vec![Location {
                physical_location,
                logical_locations: object.map(logical).into_iter().collect(),
            }],
            suppressions: if self.accepted { vec![accepted] } else { Vec::new() },
        }
    }
}
