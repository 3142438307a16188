//! One thing that is told at one place, for the formats that know no more than that.

use super::Subject;
use crate::cli::{
    codes::WOULD_CONVERT,
    convert::outcome::{FileOutcome, TemplateOutcome, Told, Unread},
    level::Level,
};
use native_sidecar_manifest::{ObjectName, Position};

/// One thing that is told.
pub(super) struct Line<'r> {
    /// The file; `None` where all are meant.
    pub(super) file: Option<&'r str>,
    pub(super) object: Option<&'r ObjectName>,
    pub(super) level: Level,
    pub(super) code: &'r str,
    pub(super) message: String,
    pub(super) position: Option<Position>,
    pub(super) accepted: bool,
}

/// Everything that is told of a run; what is not carried out is told too.
pub(super) fn lines(Subject { run, check, .. }: Subject<'_>) -> Vec<Line<'_>> {
    let mut lines: Vec<_> = run.findings.iter().map(|told| Line::of(None, None, told)).collect();
    for file in &run.files {
        lines.extend(file.errors.iter().map(|error| Line::of_error(file, error)));
        for document in &file.documents {
            let told = |told| Line::of(Some(&file.name), Some(&document.object), told);
            lines.extend(document.findings.iter().map(told));
            for template in &document.templates {
                let told = |told| Line::of(Some(&file.name), Some(&template.object), told);
                lines.extend(template.findings.iter().map(told));
                lines.extend((check && template.changes()).then(|| Line::of_change(file, template)));
            }
        }
    }
    lines
}

// === impl Line ===

impl<'r> Line<'r> {
    fn of(file: Option<&'r str>, object: Option<&'r ObjectName>, told: &'r Told) -> Self {
        let Told { level, position, accepted, .. } = *told;
        let object = told.object.as_ref().or(object);
        Self { file, object, level, code: &told.code, message: told.sentence(), position, accepted }
    }

    fn of_error(file: &'r FileOutcome, error: &'r Unread) -> Self {
        let Unread { code, position, message, .. } = error;
        let (file, message) = (Some(file.name.as_str()), message.clone());
        Self { file, object: None, level: Level::Error, code, message, position: *position, accepted: false }
    }

    fn of_change(file: &'r FileOutcome, template: &'r TemplateOutcome) -> Self {
        let message = format!("native-sidecar convert would move {}", template.moved_names());
        let (file, object, position) = (Some(file.name.as_str()), Some(&template.object), template.place());
        Self { file, object, level: Level::Warning, code: WOULD_CONVERT, message, position, accepted: false }
    }
}
