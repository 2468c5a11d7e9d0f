//! The `portico` binary: reads the command line, sets up logs, runs a command, turns errors into one readable line and an exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use portico::cli::{Cli, Command, EnvoyCommand};
use portico::log::{self, LogFormat};
use portico::output::{DELETE, explain, styled};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // With this flag 2 says that there are changes: nobody may take a mistyped command for them.
            let detailed = error.use_stderr() && std::env::args_os().any(|argument| argument == "--detailed-exitcode");
            return if detailed { ExitCode::FAILURE } else { ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)) };
        }
    };
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{} {}", styled(DELETE, "error:"), explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "embedded-cloud")]
    if let Command::Tied(arguments) = &cli.command {
        return portico::demo::tied::run(arguments);
    }
    let long_running = matches!(cli.command, Command::Run(_));
    let format =
        cli.log_format.unwrap_or(if long_running && !std::io::stderr().is_terminal() { LogFormat::Json } else { LogFormat::Human });
    #[cfg(feature = "embedded-cloud")]
    let talkative = long_running || matches!(cli.command, Command::Cloud(_));
    #[cfg(not(feature = "embedded-cloud"))]
    let talkative = long_running;
    let filter = cli.log.as_deref().unwrap_or(if talkative { "info,aws_config=warn,aws_smithy_runtime=warn" } else { "warn" });
    log::start(format, filter)?;
    // Two providers are among the dependencies; which one counts must be said once.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Run(arguments) => portico::run::run(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Plan(arguments) => portico::plan::run(arguments).await,
            #[cfg(feature = "embedded-cloud")]
            Command::Demo(arguments) => {
                portico::demo::run(arguments).await.map(|good| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            // Has become another program by now.
            #[cfg(feature = "embedded-cloud")]
            Command::Tied(_) => Ok(ExitCode::FAILURE),
            #[cfg(feature = "embedded-cloud")]
            Command::Cloud(arguments) => portico::cloud::run(arguments).await.map(|()| ExitCode::SUCCESS),
            Command::Manifests(arguments) => portico::install::run(&arguments).map(|()| ExitCode::SUCCESS),
            Command::Envoy(EnvoyCommand::Bootstrap(arguments)) => portico::bootstrap::run(&arguments).map(|()| ExitCode::SUCCESS),
        }
    })
}
