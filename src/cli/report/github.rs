//! The report as workflow commands of GitHub Actions, which show beside the lines of a pull request.
//!
//! Source: GitHub's documentation, "Workflow commands for GitHub Actions"; actions/toolkit, `packages/core/src/command.ts`.

use super::Subject;
use crate::cli::codes::WOULD_CONVERT;
use crate::cli::convert::outcome::{FileOutcome, Level, Told};
use native_sidecar_manifest::Position;

/// One command a finding and error, and one for each template that would be converted where nothing is carried out.
pub(super) fn report(Subject { files, check, .. }: Subject<'_>) -> String {
    let mut out = String::new();
    for file in files {
        for error in &file.errors {
            out.push_str(&command(Level::Error, &file.name, error.position, error.code, &error.message));
        }
        for document in &file.documents {
            let object = document.object.to_string();
            document.findings.iter().for_each(|told| out.push_str(&finding(file, &object, told)));
            for template in &document.templates {
                let object = template.object.to_string();
                template.findings.iter().for_each(|told| out.push_str(&finding(file, &object, told)));
                if check && template.changes() {
                    let names: Vec<_> = template.moved.iter().map(|moved| moved.container.as_str()).collect();
                    let message = format!("{object}: native-sidecar convert would move {}", names.join(", "));
                    let place = template.moved.first().and_then(|moved| moved.position).or(template.position);
                    out.push_str(&command(Level::Warning, &file.name, place, WOULD_CONVERT, &message));
                }
            }
        }
    }
    out
}

fn finding(file: &FileOutcome, object: &str, told: &Told) -> String {
    let object = told.object.as_ref().map_or_else(|| object.to_owned(), ToString::to_string);
    let container = told.container.as_ref().map(|name| format!("container {name:?}: ")).unwrap_or_default();
    let level = if told.accepted { Level::Note } else { told.level };
    command(level, &file.name, told.position, &told.code, &format!("{object}: {container}{}", told.message))
}

fn command(level: Level, file: &str, position: Option<Position>, title: &str, message: &str) -> String {
    let name = match level {
        Level::Note => "notice",
        Level::Warning => "warning",
        Level::Blocker | Level::Fatal | Level::Error => "error",
    };
    let place = position.map(|Position { line, column }| format!(",line={line},col={column}")).unwrap_or_default();
    format!("::{name} file={}{place},title={}::{}\n", property(file), property(title), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_command_or_a_property_is_escaped() {
        let position = Some(Position { line: 3, column: 5 });
        let line = command(Level::Fatal, "a,b:c%.yaml", position, "host-port", "50 %\r\n::error::x");
        assert_eq!(line, "::error file=a%2Cb%3Ac%25.yaml,line=3,col=5,title=host-port::50 %25%0D%0A::error::x\n");
    }
}
