//! The plugin's table of the configuration. Types and defaults are in `plugin.toml`.

use serde_json::Value;
use warren_plugin_sdk::Named;

pub const KEYS: &[Named] = &[
    Named {
        name: "endpoint",
        summary: "Where spans are posted to: OTLP over HTTP, as JSON",
    },
    Named {
        name: "headers",
        summary: "Headers of each request, such as an API key",
    },
    Named {
        name: "service-name",
        summary: "The resource's service.name",
    },
    Named {
        name: "sample-ratio",
        summary: "The share of traces that is told of, from 0 to 1",
    },
    Named {
        name: "vhosts",
        summary: "Messages of these virtual hosts; of all, if it is empty",
    },
];

pub struct Settings {
    pub endpoint: String,
    pub headers: Vec<(String, String)>,
    pub service_name: String,
    pub sample_ratio: f64,
    /// Empty: all.
    vhosts: Vec<String>,
}

impl Settings {
    pub fn parse(configuration: &str) -> Result<Settings, String> {
        let given: Value = serde_json::from_str(configuration).map_err(|e| e.to_string())?;
        let text = |key: &str, usual: &str| given[key].as_str().unwrap_or(usual).to_owned();
        let endpoint = text("endpoint", "http://localhost:4318/v1/traces");
        if !["http://", "https://"]
            .iter()
            .any(|scheme| endpoint.starts_with(scheme))
        {
            return Err("endpoint: begins with http:// or https://".to_owned());
        }
        let mut headers = Vec::new();
        for (name, value) in given["headers"].as_object().into_iter().flatten() {
            let value = value.as_str();
            let value = value.ok_or_else(|| format!("headers: {name} is no text"))?;
            headers.push((name.clone(), value.to_owned()));
        }
        let sample_ratio = given["sample-ratio"].as_f64().unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample_ratio) {
            return Err("sample-ratio: is from 0 to 1".to_owned());
        }
        let vhosts = given["vhosts"].as_array().into_iter().flatten();
        let vhosts = vhosts.map(|vhost| vhost.as_str().map(str::to_owned));
        let vhosts: Option<Vec<String>> = vhosts.collect();
        Ok(Settings {
            endpoint,
            headers,
            service_name: text("service-name", "warren"),
            sample_ratio,
            vhosts: vhosts.ok_or("vhosts: a name is no text")?,
        })
    }

    pub fn wants_vhost(&self, vhost: &str) -> bool {
        self.vhosts.is_empty() || self.vhosts.iter().any(|wanted| wanted == vhost)
    }
}
