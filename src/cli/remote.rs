//! What every command that talks to a broker needs: where it is, and how long to wait.

use std::time::Duration;

use watershed_client::{Admin, Client, ClientConfig, ConnectionOptions};

use super::exit::{CliError, Exit};

/// Where the brokers are.
#[derive(Clone, Debug, clap::Args)]
pub struct Remote {
    /// Brokers to learn the cluster from: host:port, several separated by commas
    #[arg(long, short, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", env = "WATERSHED_BOOTSTRAP")]
    pub bootstrap: String,

    /// How long an operation may take, in seconds, retries included
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub timeout: f64,

    /// How long to wait for a broker to come up, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub wait: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a number of seconds is expected".to_owned())?;
    if (0.0..=86_400.0 * 365.0).contains(&value) { Ok(value) } else { Err("between 0 and a year".to_owned()) }
}

impl Remote {
    /// How long an operation may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }

    /// Connects.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn client(&self, adjust: impl FnOnce(&mut ClientConfig)) -> Result<Client, CliError> {
        let bootstrap: Vec<_> =
            self.bootstrap.split(',').map(str::trim).filter(|a| !a.is_empty()).map(with_port).collect();
        if bootstrap.is_empty() {
            return Err(CliError::new(Exit::Usage, "--bootstrap is empty: name at least one broker as host:port"));
        }
        let timeout = self.timeout();
        let mut config = ClientConfig {
            bootstrap,
            connection: ConnectionOptions {
                client_id: "watershed-cli".into(),
                request_timeout: timeout.min(Duration::from_secs(30)).max(Duration::from_millis(100)),
                connect_timeout: timeout.min(Duration::from_secs(10)).max(Duration::from_millis(100)),
                ..ConnectionOptions::default()
            },
            operation_timeout: timeout,
            bootstrap_timeout: Duration::from_secs_f64(self.wait),
            jitter_seed: u64::from(std::process::id()),
            ..ClientConfig::default()
        };
        adjust(&mut config);
        Ok(Client::connect(config).await?)
    }

    /// Connects for administration.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn admin(&self) -> Result<Admin, CliError> {
        Ok(Admin::new(self.client(|_| {}).await?))
    }
}

/// Kafka's port, where none is named.
fn with_port(address: &str) -> String {
    let bare_v6 = address.matches(':').count() > 1 && !address.contains("]:");
    match (address.contains(':'), bare_v6) {
        (false, _) => format!("{address}:9092"),
        (true, true) if !address.starts_with('[') => format!("[{address}]:9092"),
        (true, true) => format!("{address}:9092"),
        (true, false) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_there_is_none() {
        for (text, expect) in [
            ("localhost", "localhost:9092"),
            ("localhost:1", "localhost:1"),
            ("::1", "[::1]:9092"),
            ("[::1]", "[::1]:9092"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(with_port(text), expect);
        }
    }
}
