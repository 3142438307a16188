//! Files and folders.

use crate::{CONFIG_MAP, CONVERTED, Folder, JOB, LEFT, run};
use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
};

const CHART: &[(&str, &str)] = &[
    ("Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n"),
    ("values.yaml", "image: {tag: 1}\n"),
    ("templates/web.yaml", "kind: {{ .Values.kind }}\nmetadata:\n  name: {{ include \"x\" . }}\n"),
];

#[test]
fn files_are_written_back_where_they_change() {
    let folder = Folder::with(&[("a.yaml", JOB), ("b.yaml", CONFIG_MAP), ("c.yaml", LEFT)]);
    fs::set_permissions(folder.path("a.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(folder.path("b.yaml")).unwrap().modified().unwrap();
    let files = ["a.yaml", "b.yaml", "c.yaml"].map(|name| folder.name(name));
    let run = run(&["convert", "--in-place", &files[0], &files[1], &files[2]], "");
    assert_eq!((run.code, run.out.as_str()), (2, ""), "{}", run.err);
    assert_eq!(folder.text("a.yaml"), CONVERTED);
    assert_eq!(folder.text("c.yaml"), LEFT);
    assert_eq!(fs::metadata(folder.path("a.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(folder.path("b.yaml")).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 3, "nothing is left beside them");
}

#[test]
fn a_symbolic_link_stays_one() {
    let folder = Folder::with(&[("real/a.yaml", JOB)]);
    std::os::unix::fs::symlink(folder.path("real/a.yaml"), folder.path("link.yaml")).unwrap();
    assert_eq!(run(&["convert", "--in-place", &folder.name("link.yaml")], "").code, 0);
    assert!(fs::symlink_metadata(folder.path("link.yaml")).unwrap().is_symlink());
    assert_eq!(folder.text("real/a.yaml"), CONVERTED);
}

#[test]
fn a_file_that_cannot_be_read_keeps_all_from_being_written() {
    let folder = Folder::with(&[("a.yaml", JOB), ("b.yaml", "a: b: c\n"), ("c.yaml", "x: [\n")]);
    let files = ["a.yaml", "b.yaml", "c.yaml"].map(|name| folder.name(name));
    let all = [&files[0], &files[1], &files[2]].map(String::as_str);
    let refused = run(&[&["convert", "--in-place"], &all[..]].concat(), "");
    assert_eq!(refused.code, 1, "{}", refused.err);
    for file in &files[1..] {
        assert!(refused.err.contains(&format!("error {file}:1:")), "{}", refused.err);
    }
    assert!(refused.err.ends_with("--keep-going writes all else\n"), "{}", refused.err);
    assert_eq!(folder.text("a.yaml"), JOB);
    let kept = run(&[&["convert", "--in-place", "--keep-going"], &all[..]].concat(), "");
    assert_eq!(kept.code, 1, "{}", kept.err);
    assert!(kept.err.contains("; 2 errors"), "{}", kept.err);
    assert_eq!((folder.text("a.yaml").as_str(), folder.text("b.yaml").as_str()), (CONVERTED, "a: b: c\n"));
}

#[test]
fn what_cannot_be_read_is_passed_on_when_asked() {
    let stream = format!("{JOB}---\na: b: c\n---\n{JOB}");
    let kept = run(&["convert", "--keep-going"], &stream);
    assert_eq!(kept.code, 1);
    assert_eq!(kept.out, format!("{CONVERTED}---\na: b: c\n---\n{CONVERTED}"));
    assert!(kept.err.contains("document 2: this is not YAML"), "{}", kept.err);
    let second = run(&["convert", "--keep-going"], format!("a: b: c\n---\n{JOB}"));
    assert!(second.err.contains(": document 2: Job/pi: moved sidecar"), "{}", second.err);
    let refused = run(&["convert"], &stream);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
}

#[test]
fn a_folder_is_read_as_kubectl_reads_it_less_what_is_ignored() {
    let folder = Folder::with(&[
        ("b/job.yaml", JOB),
        ("a.yml", CONFIG_MAP),
        ("c.json", "{\"apiVersion\": \"v1\", \"kind\": \"Secret\"}\n"),
        ("notes.txt", "no: [manifest\n"),
        (".hidden/job.yaml", JOB),
        (".gitignore", "/out/\n"),
        ("out/job.yaml", JOB),
    ]);
    let refused = run(&["convert", &folder.name("")], "");
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("is a folder; give -R"), "{}", refused.err);
    let read = run(&["convert", "-R", "--check", "-v", &folder.name("")], "");
    assert_eq!(read.code, 2, "{}", read.err);
    assert!(read.err.contains("3 documents, 1 pod template: 1 would be converted"), "{}", read.err);
    let written = run(&["convert", "-R", "--in-place", &folder.name("")], "");
    assert_eq!(written.code, 0, "{}", written.err);
    assert_eq!(folder.text("b/job.yaml"), CONVERTED);
    assert_eq!(folder.text("out/job.yaml"), JOB);
    assert_eq!(folder.text(".hidden/job.yaml"), JOB);
}

#[test]
fn what_is_no_manifest_is_passed_over_in_a_folder_and_refused_by_name() {
    let folder =
        Folder::with(&[CHART, &[("rendered.yaml", JOB), ("list.yaml", "- {op: add, path: /apiVersions}\n")]].concat());
    let found = run(&["convert", "-R", "--check", "-v", &folder.name("")], "");
    assert_eq!(found.code, 2, "{}", found.err);
    assert!(
        found.err.contains("passed over: ")
            && found.err.contains("templates/web.yaml:1:7: ")
            && found.err.contains("helm template"),
        "{}",
        found.err
    );
    assert!(found.err.contains("other files passed over"), "{}", found.err);
    for name in ["templates/web.yaml", "list.yaml"] {
        let named = run(&["convert", &folder.name(name)], "");
        assert_eq!((named.code, named.out.as_str()), (1, ""), "{name}: {}", named.err);
    }
}

/// A configuration of something else is nobody's manifest, but a manifest that is broken is an error.
#[test]
fn what_cannot_be_read_in_a_folder_counts_where_it_is_meant_to_be_a_manifest() {
    let folder = Folder::with(&[("tsconfig.json", "{\n  // strict\n  \"strict\": true\n}\n"), ("job.yaml", JOB)]);
    let read = run(&["convert", "-R", "--check", &folder.name("")], "");
    assert_eq!(read.code, 2, "{}", read.err);
    let both = Folder::with(&[
        ("list.yaml", "- a\n---\napiVersion: v1\nkind: Secret\n"),
        ("b.yaml", "apiVersion: v1\nkind: [\n"),
    ]);
    let refused = run(&["convert", "-R", "--check", &both.name("")], "");
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert_eq!(
        refused.err.matches("\nerror ").count() + usize::from(refused.err.starts_with("error ")),
        2,
        "{}",
        refused.err
    );
}

#[test]
fn many_files_come_out_in_their_order() {
    let names: Vec<_> = (0..100).map(|number| format!("{number:03}.yaml")).collect();
    let texts: Vec<_> = (0..100).map(|number| JOB.replace("name: pi\n", &format!("name: pi{number}\n"))).collect();
    let files: Vec<_> = names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let folder = Folder::with(&files);
    let run = run(&["convert", "-R", &folder.name("")], "");
    assert_eq!(run.code, 0, "{}", run.err);
    let found: Vec<_> = run.out.lines().filter_map(|line| line.strip_prefix("  name: ")).collect();
    let expected: Vec<_> = (0..100).map(|number| format!("pi{number}")).collect();
    assert_eq!(found, expected);
    assert_eq!(run.err.matches(": moved sidecar to initContainers[0]\n").count(), 100);
}

/// What cannot be shown of a name is no reason to write elsewhere.
#[test]
fn a_name_that_is_no_text_is_written_back_where_it_was_read() {
    let folder = Folder::with(&[("\u{fffd}.yaml", CONFIG_MAP)]);
    let odd = folder.path("").join(OsStr::from_bytes(b"\xff.yaml"));
    fs::write(&odd, JOB).unwrap();
    assert_eq!(run(&["convert", "-R", "--in-place", &folder.name("")], "").code, 0);
    assert_eq!(fs::read_to_string(&odd).unwrap(), CONVERTED);
    assert_eq!(folder.text("\u{fffd}.yaml"), CONFIG_MAP);
}

#[test]
fn what_is_read_only_is_not_replaced_and_nothing_else_is_written() {
    let folder = Folder::with(&[("a.yaml", JOB), ("b.yaml", JOB)]);
    fs::set_permissions(folder.path("b.yaml"), fs::Permissions::from_mode(0o444)).unwrap();
    let refused = run(&["convert", "-R", "--in-place", &folder.name("")], "");
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("b.yaml: it is read-only"), "{}", refused.err);
    assert_eq!((folder.text("a.yaml").as_str(), fs::read_dir(folder.path("")).unwrap().count()), (JOB, 2));
}

#[test]
fn links_in_a_folder_are_not_followed_and_a_file_counts_once() {
    let folder = Folder::with(&[("out/job.yaml", JOB), ("in/job.yaml", JOB)]);
    std::os::unix::fs::symlink(folder.path("out/job.yaml"), folder.path("in/link.yaml")).unwrap();
    let twice = run(&["convert", "-R", "--in-place", &folder.name("in"), &folder.name("in/job.yaml")], "");
    assert!(twice.code == 0 && twice.err.contains("\n1 document, 1 pod template: 1 converted, "), "{}", twice.err);
    assert_eq!((folder.text("out/job.yaml").as_str(), folder.text("in/job.yaml").as_str()), (JOB, CONVERTED));
}

#[test]
fn a_folder_with_nothing_to_read_is_an_error() {
    let folder = Folder::with(&[("out/job.yaml", JOB), (".gitignore", "out/*\n"), ("empty/notes.txt", "")]);
    for name in ["out", "empty"] {
        let refused = run(&["convert", "-R", "--check", &folder.name(name)], "");
        assert_eq!(refused.code, 1, "{name}: {}", refused.err);
        assert!(refused.err.contains("has no file that ends in .yaml"), "{}", refused.err);
    }
}

/// What is found beside manifests does not become part of the stream.
#[test]
fn only_manifests_of_a_folder_are_printed() {
    let others = [("values.yaml", "replicas: 1\n"), ("package.json", "{\"name\": \"x\"}\n")];
    let folder = Folder::with(&[&others[..], &[("job.yaml", JOB)]].concat());
    let printed = run(&["convert", "-R", "-v", &folder.name("")], "");
    assert_eq!((printed.code, printed.out.as_str()), (0, CONVERTED), "{}", printed.err);
    assert!(printed.err.contains("values.yaml: document 1: this is no Kubernetes object"), "{}", printed.err);
}

/// A document that is a template does not hide the one beside it.
#[test]
fn what_can_be_read_beside_a_template_is_converted() {
    let template = "---\nkind: {{ .Values.kind }}\n";
    let folder = Folder::with(&[("mixed.yaml", &format!("{JOB}{template}"))]);
    let written = run(&["convert", "-R", "--in-place", "-v", &folder.name("")], "");
    assert_eq!(written.code, 0, "{}", written.err);
    assert!(written.err.contains("passed over: ") && written.err.contains("helm template"), "{}", written.err);
    assert_eq!(folder.text("mixed.yaml"), format!("{CONVERTED}{template}"));
}

#[test]
fn what_cannot_be_passed_on_in_another_format_is_refused() {
    let broken = format!("{JOB}---\na: [\n");
    for (options, input) in [(&["-o", "json"][..], broken.as_bytes()), (&[], b"a: \xe9\n")] {
        let refused = run(&[&["convert", "--keep-going"], options].concat(), input);
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{}", refused.err);
        assert!(refused.err.contains("cannot be passed on in this output"), "{}", refused.err);
    }
}

#[test]
fn what_another_command_is_for_is_said() {
    let review = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "x"}}"#;
    let refused = run(&["convert"], review);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("native-sidecar review"), "{}", refused.err);
    let list = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n";
    let refused = run(&["convert"], list);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("native-sidecar fn"), "{}", refused.err);
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [job.yaml]\n";
    let told = run(&["convert"], kustomization);
    assert_eq!((told.code, told.out.as_str()), (0, kustomization));
    assert!(told.err.contains("kustomize build"), "{}", told.err);
}
