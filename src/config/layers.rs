//! Flag over variable over file, for every entry; all faults gathered.

use std::fmt;
use std::path::Path;

use serde_yaml::Spanned;

use super::file::{self, File, Scalar};
use super::limits::Settings;
use super::{BackendName, Config, Flags, KeyspaceConfig, RepositoryConfig, ShadowLimits, value, yaml};
use crate::repository::{Credentials, Location, Secret};

/// Read when it is there and no other is named.
pub const DEFAULT_FILE: &str = "tsdb-ws.yaml";
/// The operator's file has at most so many bytes.
const MAX_FILE: u64 = 1 << 20;

/// Everything that is wrong with flags, variables and file: a line each, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Reads flags, variables and the operator's file.
///
/// # Errors
/// All faults, each with the flag, variable or place of the file that it is about.
pub fn load(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let (file, path) = read_file(flags, env).map_err(|fault| ConfigError(vec![fault]))?;
    let has_file = file.is_some();
    let layers = Layers { env, path };
    let mut faults = Faults::default();
    let config = Config { has_file, ..layers.config(flags, &file.unwrap_or_default(), &mut faults) };
    if faults.0.is_empty() { Ok(config) } else { Err(ConfigError(faults.0)) }
}

/// A value that somebody set, and where.
#[derive(Debug, Clone)]
pub struct Setting {
    pub text: String,
    pub place: String,
}

impl Setting {
    /// What the file says.
    pub fn of_file(scalar: &Scalar, path: &str) -> Option<Setting> {
        scalar.as_ref().map(|value| Setting::at(value, path))
    }

    fn at(value: &Spanned<String>, path: &str) -> Setting {
        let (line, column) = (value.referenced.line(), value.referenced.column());
        Setting { text: value.value.trim().to_owned(), place: format!("{path}:{line}:{column}") }
    }
}

/// Gathers what is wrong.
#[derive(Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// The checked value; where nothing is set, or what is set is wrong, the default.
    pub fn read<T>(&mut self, setting: &Option<Setting>, default: T, check: impl Fn(&str) -> Result<T, String>) -> T {
        self.read_optional(setting, check).unwrap_or(default)
    }

    /// The checked value, if something is set.
    pub fn read_optional<T>(
        &mut self,
        setting: &Option<Setting>,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = setting.as_ref()?;
        check(&setting.text).map_err(|fault| self.add(&setting.place, fault)).ok()
    }

    fn add(&mut self, place: &str, fault: impl fmt::Display) {
        self.0.push(format!("{place}: {fault}"));
    }
}

/// Where settings come from.
struct Layers<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    path: String,
}

impl Layers<'_> {
    /// What is set for the entry that the flag `name` stands for. An empty variable counts as not set.
    fn pick(&self, name: &str, flag: &Option<String>, file: &Scalar) -> Option<Setting> {
        if let Some(text) = flag {
            return Some(Setting { text: text.clone(), place: format!("--{name}") });
        }
        let variable = format!("TSDB_WS_{}", name.replace('-', "_").to_uppercase());
        match (self.env)(&variable).filter(|text| !text.is_empty()) {
            Some(text) => Some(Setting { text, place: variable }),
            None => Setting::of_file(file, &self.path),
        }
    }

    fn config(&self, flags: &Flags, file: &File, faults: &mut Faults) -> Config {
        let mut config = Config::default();
        let listen = self.pick("listen", &flags.listen, &file.listen);
        config.listen = faults.read(&listen, config.listen, value::address);
        let admin = self.pick("admin-listen", &flags.admin_listen, &file.admin_listen);
        config.admin_listen = faults.read(&admin, config.admin_listen, value::address);
        let limits = self.limits(flags, &file.limits);
        config.limits = limits.check(&config.limits, faults);
        config.shadow_limits = self.shadow_limits(flags, &file.limits, faults);
        config.cors_origins = self.origins(flags, &file.cors, faults);
        let says_what = [
            self.repository(flags, file, &mut config, faults),
            self.databases(flags, &file.backends, &mut config, faults),
            self.keyspaces(flags, &file.keyspaces, &mut config, faults),
        ];
        config.demo = !says_what.contains(&true);
        config.warnings.extend(idle_shadows(&config));
        if config.listen == config.admin_listen && config.listen.port() != 0 {
            faults.add(
                &admin.or(listen).map_or("listen".to_owned(), |setting| setting.place),
                "listen and admin_listen must differ",
            );
        }
        config
    }

    /// What is served from where; true if anything is set.
    fn repository(&self, flags: &Flags, file: &File, config: &mut Config, faults: &mut Faults) -> bool {
        let formulas = self.pick("formulas", &flags.formulas, &file.formulas);
        let backend = self.pick("backend", &flags.backend, &file.backend);
        let shadow = self.pick("shadow", &flags.shadow, &file.shadow);
        config.formulas = faults.read(&formulas, config.formulas.clone(), Location::parse);
        config.repository = self.following(flags, &file.repository, faults);
        config.backend = faults.read(&backend, config.backend, value::backend);
        config.shadow = faults.read_optional(&shadow, value::backend);
        formulas.is_some() || backend.is_some() || shadow.is_some()
    }

    /// How the repository is followed.
    fn following(&self, flags: &Flags, file: &file::Repository, faults: &mut Faults) -> RepositoryConfig {
        let base = RepositoryConfig::default();
        let resync = self.pick("repository-resync", &flags.repository_resync, &file.resync);
        let poll = self.pick("repository-poll", &flags.repository_poll, &file.poll);
        let grace = self.pick("repository-grace", &flags.repository_grace, &file.grace);
        let files = self.pick("repository-files", &flags.repository_files, &file.files);
        let user = self.pick("repository-user", &flags.repository_user, &file.user);
        let token = self.pick("repository-token-file", &flags.repository_token_file, &file.token_file);
        let key = self.pick("repository-ssh-key-file", &flags.repository_ssh_key_file, &file.ssh_key_file);
        let hosts =
            self.pick("repository-known-hosts-file", &flags.repository_known_hosts_file, &file.known_hosts_file);
        let (flag, in_file) = (&flags.repository_webhook_secret_file, &file.webhook_secret_file);
        let webhook = self.pick("repository-webhook-secret-file", flag, in_file);
        let mut secret = |file: &Option<Setting>, variable: &str| {
            let text = (self.env)(variable).filter(|text| !text.is_empty());
            faults.read_optional(file, value::path).map(Secret::file).or_else(|| text.map(Secret::text))
        };
        let token = secret(&token, "TSDB_WS_REPOSITORY_TOKEN");
        let webhook_secret = secret(&webhook, "TSDB_WS_REPOSITORY_WEBHOOK_SECRET");
        RepositoryConfig {
            resync: faults.read(&resync, base.resync, value::interval),
            poll: faults.read(&poll, base.poll, value::interval),
            grace: faults.read(&grace, base.grace, value::deadline),
            files: faults.read(&files, base.files, |text| value::count(text, 1..=1_000_000)),
            credentials: Credentials {
                user: faults.read_optional(&user, value::text),
                token,
                ssh_key_file: faults.read_optional(&key, value::path),
                known_hosts_file: faults.read_optional(&hosts, value::path),
            },
            webhook_secret,
        }
    }

    /// Where the databases are; true if anything is set.
    fn databases(&self, flags: &Flags, file: &file::Backends, config: &mut Config, faults: &mut Faults) -> bool {
        let store = self.pick("store", &flags.store, &file.embedded.store);
        config.store = faults.read(&store, config.store.clone(), value::path);
        let kairosdb = self.pick("kairosdb-url", &flags.kairosdb_url, &file.kairosdb.url);
        config.kairosdb_url = faults.read(&kairosdb, config.kairosdb_url.clone(), value::url);
        let m3db = self.pick("m3db-url", &flags.m3db_url, &file.m3db.url);
        config.m3db.url = faults.read(&m3db, config.m3db.url.clone(), value::url);
        let names = self.pick("m3db-names", &flags.m3db_names, &file.m3db.names);
        config.m3db.legacy_names = faults.read(&names, config.m3db.legacy_names, value::legacy_names);
        let prometheus = self.pick("prometheus-url", &flags.prometheus_url, &file.prometheus.url);
        config.prometheus_url = faults.read(&prometheus, config.prometheus_url.clone(), value::url);
        let (own, elasticsearch) = (&mut config.elasticsearch, &file.elasticsearch);
        let url = self.pick("elasticsearch-url", &flags.elasticsearch_url, &elasticsearch.url);
        own.url = faults.read(&url, own.url.clone(), value::url);
        let index = self.pick("elasticsearch-index", &flags.elasticsearch_index, &elasticsearch.index);
        own.index = faults.read(&index, own.index.clone(), value::text);
        let user = self.pick("elasticsearch-user", &flags.elasticsearch_user, &elasticsearch.user);
        own.user = faults.read_optional(&user, value::text);
        let (flag, entry) = (&flags.elasticsearch_password_file, &elasticsearch.password_file);
        let password_file = self.pick("elasticsearch-password-file", flag, entry);
        own.password_file = faults.read_optional(&password_file, value::path);
        let retentions = [
            self.pick("embedded-retention", &flags.embedded_retention, &file.embedded.retention),
            self.pick("kairosdb-retention", &flags.kairosdb_retention, &file.kairosdb.retention),
            self.pick("m3db-retention", &flags.m3db_retention, &file.m3db.retention),
            self.pick("elasticsearch-retention", &flags.elasticsearch_retention, &file.elasticsearch.retention),
            self.pick("prometheus-retention", &flags.prometheus_retention, &file.prometheus.retention),
        ];
        for (name, retention) in BackendName::ALL.into_iter().zip(&retentions) {
            if let Some(step) = faults.read_optional(retention, value::step) {
                config.retention.insert(name, step);
            }
        }
        let places = [&store, &kairosdb, &m3db, &names, &prometheus, &url, &index, &user, &password_file];
        places.into_iter().chain(&retentions).any(Option::is_some)
    }

    fn limits(&self, flags: &Flags, file: &file::Limits) -> Settings {
        Settings {
            body: self.pick("limits-body", &flags.limits_body, &file.body),
            formulas: self.pick("limits-formulas", &flags.limits_formulas, &file.formulas),
            series: self.pick("limits-series", &flags.limits_series, &file.series),
            answer_points: self.pick("limits-answer-points", &flags.limits_answer_points, &file.answer_points),
            raw_points: self.pick("limits-raw-points", &flags.limits_raw_points, &file.raw_points),
            range: self.pick("limits-range", &flags.limits_range, &file.range),
            deadline: self.pick("limits-deadline", &flags.limits_deadline, &file.deadline),
            concurrency: self.pick("limits-concurrency", &flags.limits_concurrency, &file.concurrency),
            connections: self.pick("limits-connections", &flags.limits_connections, &file.connections),
            idle: self.pick("limits-idle", &flags.limits_idle, &file.idle),
        }
    }

    fn shadow_limits(&self, flags: &Flags, file: &file::Limits, faults: &mut Faults) -> ShadowLimits {
        let base = ShadowLimits::default();
        let queue = self.pick("limits-shadow-queue", &flags.limits_shadow_queue, &file.shadow_queue);
        let values = self.pick("limits-shadow-values", &flags.limits_shadow_values, &file.shadow_values);
        let concurrency =
            self.pick("limits-shadow-concurrency", &flags.limits_shadow_concurrency, &file.shadow_concurrency);
        let deadline = self.pick("limits-shadow-deadline", &flags.limits_shadow_deadline, &file.shadow_deadline);
        ShadowLimits {
            queue: faults.read(&queue, base.queue, |text| value::count(text, 1..=10_000)),
            values: faults.read(&values, base.values, |text| value::count(text, 1..=1_000_000_000)),
            concurrency: faults.read(&concurrency, base.concurrency, |text| value::count(text, 1..=1_000)),
            deadline: faults.read(&deadline, base.deadline, value::deadline),
        }
    }

    fn origins(&self, flags: &Flags, file: &file::Cors, faults: &mut Faults) -> Vec<String> {
        let settings: Vec<Setting> = match self.pick("cors-origins", &flags.cors_origins, &None) {
            None => file.origins.iter().map(|origin| Setting::at(origin, &self.path)).collect(),
            Some(Setting { text, place }) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| Setting { text: part.to_owned(), place: place.clone() }).collect()
            }
        };
        settings.into_iter().filter_map(|setting| faults.read_optional(&Some(setting), value::origin)).collect()
    }

    /// What is set for single keyspaces; true if anything is.
    fn keyspaces(&self, flags: &Flags, file: &file::Keyspaces, config: &mut Config, faults: &mut Faults) -> bool {
        let inline = self.pick("keyspaces", &flags.keyspaces, &None);
        let parsed: file::Keyspaces;
        let (keyspaces, path) = match &inline {
            None => (file, self.path.as_str()),
            Some(Setting { text, place }) => match yaml::parse(text.as_bytes()) {
                Ok(keyspaces) => {
                    parsed = keyspaces;
                    (&parsed, place.as_str())
                }
                Err(fault) => {
                    faults.0.push(fault.at(place));
                    return true;
                }
            },
        };
        for (name, keyspace) in keyspaces {
            if let Err(fault) = value::keyspace(name) {
                faults.add(path, fault);
            }
            let checked = check_keyspace(keyspace, path, config, faults);
            config.keyspaces.insert(name.clone(), checked);
        }
        !keyspaces.is_empty()
    }
}

/// Shadows that have nothing to do, because they are what is read anyway.
fn idle_shadows(config: &Config) -> Vec<String> {
    let says = |place: String, name: BackendName| {
        format!("{place}: the shadow is {0}, which is the backend; nothing is read along", name.as_str())
    };
    let service = config.shadow.filter(|shadow| *shadow == config.backend).map(|name| says("shadow".to_owned(), name));
    let keyspaces = config.keyspaces.iter().filter_map(|(keyspace, own)| {
        let shadow = own.shadow.filter(|shadow| *shadow == config.backend_of(keyspace))?;
        Some(says(format!("keyspaces.{keyspace}.shadow"), shadow))
    });
    service.into_iter().chain(keyspaces).collect()
}

fn check_keyspace(keyspace: &file::Keyspace, path: &str, config: &Config, faults: &mut Faults) -> KeyspaceConfig {
    let setting = |scalar| Setting::of_file(scalar, path);
    let allow = keyspace.allow.as_ref().map(|patterns| {
        let settings = patterns.iter().map(|pattern| Some(Setting::at(pattern, path)));
        settings.filter_map(|setting| faults.read_optional(&setting, value::pattern)).collect()
    });
    let limits = Settings::of_keyspace(&keyspace.limits, path);
    let rate = |text: &str| value::count(text, 1..=1_000_000).map(|count| count as u32);
    KeyspaceConfig {
        backend: faults.read_optional(&setting(&keyspace.backend), value::backend),
        shadow: faults.read_optional(&setting(&keyspace.shadow), value::backend),
        allow,
        queries_per_second: faults.read_optional(&setting(&keyspace.limits.queries_per_second), rate),
        concurrency: faults
            .read_optional(&setting(&keyspace.limits.concurrency), |text| value::count(text, 1..=100_000)),
        limits: (!limits.is_empty()).then(|| limits.check(&config.limits, faults)),
    }
}

/// The operator's file and its path as it is shown; `None` where there is none, or nothing in it.
fn read_file(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<(Option<File>, String), String> {
    let named = flags.config.clone().or_else(|| env("TSDB_WS_CONFIG").filter(|path| !path.is_empty()));
    let path = named.as_deref().unwrap_or(DEFAULT_FILE);
    let missing = named.is_none() && !Path::new(path).exists();
    if missing {
        return Ok((None, path.to_owned()));
    }
    let too_large = std::fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_FILE);
    if too_large {
        return Err(format!("{path}: the file is larger than 1 MiB"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: cannot read the operator's file: {error}"))?;
    let file = yaml::parse::<Option<File>>(&bytes).map_err(|fault| fault.at(path))?;
    Ok((file, path.to_owned()))
}
