//! What is generated from the commands' own definitions: completions in the shells themselves, man pages, and help under
//! the name that kubectl runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;

use command::{given, run};
use std::{fs, os::unix::fs::symlink, process::Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_native-sidecar");

/// What `shell` prints when it runs `script` with the completions in the file that is its first argument; nothing where
/// the shell is not installed.
fn in_shell(shell: &str, arguments: &[&str], script: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let completions = folder.path().join("completions");
    let printed = run(&["completions", shell], "");
    assert!(printed.status.success());
    fs::write(&completions, printed.stdout).unwrap();
    let mut command = Command::new(shell);
    command.args(arguments).arg("-c").arg(script);
    if shell != "fish" {
        command.arg(shell);
    }
    command.arg(&completions).env("HOME", folder.path());
    if Command::new(shell).arg("--version").output().is_err() {
        eprintln!("{shell} is not installed here, so its completions were not tried");
        return None;
    }
    let output = given(command, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What bash offers for the last of these words.
fn bash_offers(words: &[&str]) -> Vec<String> {
    let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let script = format!(
        "source \"$1\"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
         registered=$(complete -p native-sidecar); registered=${{registered##* -F }}
         \"${{registered%% *}}\" native-sidecar \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    in_shell("bash", &["--norc"], &script).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(bash_offers(&["native-sidecar", "conv"]), ["convert"]);
    assert_eq!(bash_offers(&["native-sidecar", "convert", "--kub"]), ["--kubernetes"]);
    assert_eq!(bash_offers(&["native-sidecar", "convert", "--output", "d"]), ["diff"]);
    assert!(!bash_offers(&["native-sidecar", ""]).contains(&"manual".to_owned()), "it is hidden");
}

#[test]
fn fish_completes_commands_options_and_values() {
    for (line, offered) in [
        ("native-sidecar conv", "convert\t"),
        ("native-sidecar convert --kub", "--kubernetes\t"),
        ("native-sidecar convert --output d", "diff\t"),
    ] {
        let script = format!("source $argv[1]; complete -C '{line}'");
        let Some(printed) = in_shell("fish", &[], &script) else { return };
        assert!(printed.starts_with(offered) && printed.lines().count() == 1, "{line}: {printed}");
    }
}

#[test]
fn zsh_takes_the_script() {
    // As an autoloaded function of a folder of fpath, which is how it is installed.
    let script = r#"mkdir "$HOME/functions"; cp "$1" "$HOME/functions/_native-sidecar"; fpath=("$HOME/functions" $fpath)
        autoload -U compinit; compinit -u -D; print -- "${_comps[native-sidecar]}"; autoload +X _native-sidecar"#;
    let Some(printed) = in_shell("zsh", &["-f"], script) else { return };
    assert_eq!(printed, "_native-sidecar\n");
}

#[test]
fn each_shell_has_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let printed = run(&["completions", shell], "");
        assert!(String::from_utf8(printed.stdout).unwrap().contains("timeline"), "{shell}");
    }
}

#[test]
fn each_command_that_help_lists_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("man1");
    assert!(run(&["manual", "--man", folder.to_str().unwrap()], "").status.success());
    let help = String::from_utf8(run(&["--help"], "").stdout).unwrap();
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands = commands.lines().filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names = commands.map(|line| line.split(' ').next().unwrap()).filter(|name| *name != "help");
    let names: Vec<_> = names.collect();
    assert!(names.contains(&"convert"), "{names:?}");
    for name in names {
        let page = fs::read_to_string(folder.join(format!("native-sidecar-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(folder.join("native-sidecar.1").exists());
}

#[test]
fn help_speaks_of_the_command_that_was_typed() {
    let usage = |program: &std::path::Path| {
        let mut command = Command::new(program);
        command.args(["explain", "--help"]);
        let help = String::from_utf8(given(command, "").stdout).unwrap();
        help.lines().find(|line| line.starts_with("Usage: ")).unwrap().to_owned()
    };
    let folder = tempfile::tempdir().unwrap();
    for (file, name) in [
        ("kubectl-native_sidecar", "kubectl native-sidecar"),
        ("native-sidecar", "native-sidecar"),
        ("another", "native-sidecar"),
    ] {
        let link = folder.path().join(file);
        symlink(PROGRAM, &link).unwrap();
        assert_eq!(usage(&link), format!("Usage: {name} explain [OPTIONS] [CODE]..."));
    }
}
