//! The program `fantascope`: arguments to a run, its outcome to an exit code.

fn main() -> std::process::ExitCode {
    fantascope::app::with_few_arenas();
    fantascope::cli::main()
}
