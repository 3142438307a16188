//! Writes the seeds of targets: `seeds FOLDER TARGET...` puts them into `FOLDER/TARGET/`.

// The program is built with the targets' flags, so that it needs what they need.
use libfuzzer_sys as _;
use native_sidecar_fuzz::seeds;
use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "corpus".to_owned());
    for target in arguments {
        let folder = Path::new(&folder).join(&target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds::of(&target, usize::MAX).into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
