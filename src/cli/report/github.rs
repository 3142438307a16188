//! The report as workflow commands of GitHub Actions, which show beside the lines of a pull request.
//!
//! Source: GitHub's documentation, "Workflow commands for GitHub Actions"; actions/toolkit, `packages/core/src/command.ts`.

use super::{
    Subject,
    line::{Line, lines},
};
use crate::cli::level::Level;
use native_sidecar_manifest::Position;

/// One command for each thing that is told.
pub(super) fn report(subject: Subject<'_>) -> String {
    lines(subject).iter().map(command).collect()
}

fn command(line: &Line<'_>) -> String {
    let name = match line.level {
        _ if line.accepted => "notice",
        Level::Note => "notice",
        Level::Warning => "warning",
        Level::Blocker | Level::Fatal | Level::Error => "error",
    };
    let mut properties = Vec::new();
    properties.extend(line.file.map(|file| format!("file={}", property(file))));
    if let Some(Position { line, column }) = line.position {
        properties.push(format!("line={line},col={column}"));
    }
    properties.push(format!("title={}", property(line.code)));
    let object = line.object.map(|object| format!("{object}: ")).unwrap_or_default();
    format!("::{name} {}::{}\n", properties.join(","), data(&format!("{object}{}", line.message)))
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
        let line = Line {
            file: Some("a,b:c%.yaml"),
            object: None,
            level: Level::Fatal,
            code: "host-port",
            message: "50 %\r\n::error::x".to_owned(),
            position: Some(Position { line: 3, column: 5 }),
            accepted: false,
        };
        assert_eq!(
            command(&line),
            "::error file=a%2Cb%3Ac%25.yaml,line=3,col=5,title=host-port::50 %25%0D%0A::error::x\n"
        );
    }
}
