//! The report as `JUnit` XML: a file is a suite of tests, a pod template a test.

use super::Subject;
use crate::cli::{
    codes::WOULD_CONVERT,
    convert::outcome::{DocumentOutcome, FileOutcome, TemplateOutcome, Told, Unread},
    level::Level,
};
use native_sidecar_core::conversion::Decision;
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

pub(super) fn report(Subject { run, check, .. }: Subject<'_>) -> Result<String, SerializeError> {
    let mut report = Report::new(env!("CARGO_PKG_NAME"));
    if !run.findings.is_empty() {
        let mut all = TestSuite::new("all files");
        let mut case = TestCase::new("arguments", TestCaseStatus::success());
        case.set_system_out(lines(&run.findings));
        all.add_test_case(case);
        report.add_test_suite(all);
    }
    for file in run.files.iter().filter(|file| !file.is_passed_over()) {
        report.add_test_suite(suite(file, check));
    }
    Ok(report.to_string()? + "\n")
}

fn suite(file: &FileOutcome, check: bool) -> TestSuite {
    let mut suite = TestSuite::new(file.name.as_str());
    suite.add_test_cases(file.errors.iter().map(unreadable));
    for document in &file.documents {
        suite.add_test_cases(document_case(document));
        suite.add_test_cases(document.templates.iter().map(|template| template_case(document, template, check)));
    }
    suite
}

fn unreadable(error: &Unread) -> TestCase {
    let name = error.document.map_or_else(|| "the file".to_owned(), |number| format!("document {number}"));
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(error.code).set_message(error.line.as_str());
    TestCase::new(name, status)
}

/// What is told about a document itself, where there is anything.
fn document_case(document: &DocumentOutcome) -> Option<TestCase> {
    if document.findings.is_empty() {
        return None;
    }
    let mut case =
        TestCase::new(format!("document {}: {}", document.number, document.object), TestCaseStatus::success());
    case.set_system_out(lines(&document.findings));
    Some(case)
}

fn template_case(document: &DocumentOutcome, template: &TemplateOutcome, check: bool) -> TestCase {
    let mut status = match template.decision {
        Decision::Blocked | Decision::Denied => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Decision::Converted if check => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Decision::WouldConvert | Decision::WouldBlock | Decision::NotRequested => TestCaseStatus::skipped(),
        Decision::Converted | Decision::NothingToDo => TestCaseStatus::success(),
    };
    match template.decision {
        Decision::Blocked | Decision::Denied => {
            if let Some(reason) = template.findings.iter().find(|told| told.level >= Level::Blocker && !told.accepted) {
                status.set_type(reason.code.as_str()).set_message(reason.to_string());
            }
        }
        Decision::Converted if check => {
            status.set_type(WOULD_CONVERT).set_message(format!("would move {}", template.moved_names()));
        }
        _ => {}
    }
    let name = format!("document {}: {}{}", document.number, template.object, template.path);
    let mut case = TestCase::new(name, status);
    if !template.findings.is_empty() {
        case.set_system_out(lines(&template.findings));
    }
    case
}

fn lines(findings: &[Told]) -> String {
    let line = |told: &Told| match &told.object {
        Some(object) => format!("{object}: {told}"),
        None => told.to_string(),
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}
