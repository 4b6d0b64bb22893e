//! The flags that every command takes.

use clap::Args;

/// One flag for each entry of the operator's file. They are texts: [`super::load`] checks them as it checks the file's.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Service (each also a variable, such as TSDB_WS_LISTEN, and an entry of the file)")]
pub struct Flags {
    /// The operator's file [default: tsdb-ws.yaml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<String>,
    /// The address of the service [default: 127.0.0.1:8090]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The address of metrics, status and profiles [default: 127.0.0.1:8091]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// The keyspace files: a directory, or git+URL#ref:folder [default: formulas]
    #[arg(long, global = true, value_name = "DIR")]
    pub formulas: Option<String>,
    /// How often a directory is listed anew, whatever its events say, such as 15s
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub repository_resync: Option<String>,
    /// How often a git server is asked, such as 30s
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub repository_poll: Option<String>,
    /// How long a keyspace is served whose files are gone, such as 2s
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub repository_grace: Option<String>,
    /// The most keyspace files
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub repository_files: Option<String>,
    /// The user's name at a git server, over HTTPS [default: git]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub repository_user: Option<String>,
    /// A file whose first line is the token for a git server, over HTTPS
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub repository_token_file: Option<String>,
    /// The private key for a git server, over SSH
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub repository_ssh_key_file: Option<String>,
    /// The public keys of git servers, over SSH
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub repository_known_hosts_file: Option<String>,
    /// A file whose first line is the secret that signs POST /api/webhook
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub repository_webhook_secret_file: Option<String>,
    /// The database: embedded, kairosdb, m3db, elasticsearch or prometheus [default: embedded]
    #[arg(long, global = true, value_name = "NAME")]
    pub backend: Option<String>,
    /// The database that gets a copy of every read
    #[arg(long, global = true, value_name = "NAME")]
    pub shadow: Option<String>,
    /// The file of the embedded store [default: tsdb-ws.db]
    #[arg(long, global = true, value_name = "FILE")]
    pub store: Option<String>,
    /// How far back the embedded store is kept, such as 400d
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub embedded_retention: Option<String>,
    /// Where KairosDB answers [default: http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    pub kairosdb_url: Option<String>,
    /// How far back KairosDB keeps points, such as 2d
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub kairosdb_retention: Option<String>,
    /// Where M3DB answers [default: http://127.0.0.1:7201]
    #[arg(long, global = true, value_name = "URL")]
    pub m3db_url: Option<String>,
    /// How series are named in M3DB: utf8, or legacy, in which characters beyond [A-Za-z0-9_:] are _ [default: utf8]
    #[arg(long, global = true, value_name = "NAMES", hide_short_help = true)]
    pub m3db_names: Option<String>,
    /// How far back M3DB keeps points
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub m3db_retention: Option<String>,
    /// Where Elasticsearch answers [default: http://127.0.0.1:9200]
    #[arg(long, global = true, value_name = "URL")]
    pub elasticsearch_url: Option<String>,
    /// The index of Elasticsearch [default: tsdb-ws]
    #[arg(long, global = true, value_name = "INDEX", hide_short_help = true)]
    pub elasticsearch_index: Option<String>,
    /// The name for Elasticsearch's basic authentication
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub elasticsearch_user: Option<String>,
    /// A file that holds the password for Elasticsearch
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub elasticsearch_password_file: Option<String>,
    /// How far back Elasticsearch keeps points
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub elasticsearch_retention: Option<String>,
    /// Where Prometheus answers [default: http://127.0.0.1:9090]
    #[arg(long, global = true, value_name = "URL")]
    pub prometheus_url: Option<String>,
    /// How far back Prometheus keeps points
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub prometheus_retention: Option<String>,
    /// The largest body of a request, such as 1MiB
    #[arg(long, global = true, value_name = "SIZE", hide_short_help = true)]
    pub limits_body: Option<String>,
    /// The most formulas of a request
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_formulas: Option<String>,
    /// The most series of a formula
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_series: Option<String>,
    /// The most values of an answer
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_answer_points: Option<String>,
    /// The most raw points read for an answer
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_raw_points: Option<String>,
    /// The longest range of a request, such as 400d
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub limits_range: Option<String>,
    /// The longest time for a request, such as 30s
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub limits_deadline: Option<String>,
    /// The most requests under way at once
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_concurrency: Option<String>,
    /// The most reads that wait for a shadow
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_shadow_queue: Option<String>,
    /// The most values kept for the comparison with a shadow
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_shadow_values: Option<String>,
    /// The most reads of a shadow under way at once
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_shadow_concurrency: Option<String>,
    /// The longest time for a read of a shadow, such as 10s
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub limits_shadow_deadline: Option<String>,
    /// The most connections at once
    #[arg(long, global = true, value_name = "COUNT", hide_short_help = true)]
    pub limits_connections: Option<String>,
    /// The longest time in which a caller may send nothing or take nothing, such as 60s
    #[arg(long, global = true, value_name = "DURATION", hide_short_help = true)]
    pub limits_idle: Option<String>,
    /// The file's `keyspaces`, as YAML or JSON
    #[arg(long, global = true, value_name = "YAML", hide_short_help = true)]
    pub keyspaces: Option<String>,
    /// Origins that browsers may call from, with commas between them
    #[arg(long, global = true, value_name = "ORIGINS", hide_short_help = true)]
    pub cors_origins: Option<String>,
}
