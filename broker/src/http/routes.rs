//! Every path of the API: what it is called, who may ask, and who answers.

use super::answer::Failure;
use super::call::{Call, Handler};
use super::request::Method;
use super::{
    about, bindings, channels, connections, consumers, definitions, events, exchanges, explain,
    health, limits, messages, moving, nodes, overview, parameters, permissions, plugins, policies,
    preview, publish, queues, services, traces, users, vhosts,
};

/// What a user must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Management,
    /// And have permissions in the vhost that the path names first; who monitors may look.
    Vhost,
    /// And be a policymaker there.
    Policies,
    Policymaker,
    Monitoring,
    /// To look; to change, administrator.
    ManagementOrAdministrator,
    /// To look; to change, administrator.
    MonitoringOrAdministrator,
    Administrator,
}

pub(super) struct Route {
    path: &'static str,
    needs: Needs,
    get: Option<Handler>,
    put: Option<Handler>,
    post: Option<Handler>,
    delete: Option<Handler>,
}

const fn at(path: &'static str, needs: Needs) -> Route {
    Route {
        path,
        needs,
        get: None,
        put: None,
        post: None,
        delete: None,
    }
}

impl Route {
    const fn get(mut self, handler: Handler) -> Route {
        self.get = Some(handler);
        self
    }

    const fn put(mut self, handler: Handler) -> Route {
        self.put = Some(handler);
        self
    }

    const fn post(mut self, handler: Handler) -> Route {
        self.post = Some(handler);
        self
    }

    const fn delete(mut self, handler: Handler) -> Route {
        self.delete = Some(handler);
        self
    }

    pub fn handler(&self, method: Method) -> Option<Handler> {
        match method {
            Method::Get | Method::Head => self.get,
            Method::Put => self.put,
            Method::Post => self.post,
            Method::Delete => self.delete,
            Method::Options | Method::Other => None,
        }
    }

    pub fn allow(&self) -> String {
        let methods = [
            (self.get, "HEAD, GET"),
            (self.put, "PUT"),
            (self.post, "POST"),
            (self.delete, "DELETE"),
        ];
        let there = methods.iter().filter(|(handler, _)| handler.is_some());
        let mut names: Vec<&str> = there.map(|(_, name)| *name).collect();
        names.push("OPTIONS");
        names.join(", ")
    }

    /// Whether this user may ask here.
    pub fn check(&self, call: &Call) -> Result<(), Failure> {
        let user = &call.user;
        let must = |may: bool, text: &str| match may {
            true => Ok(()),
            false => Err(Failure::NotAuthorised(text.to_owned())),
        };
        let changes = call.request.method.changes();
        must(user.is_management(), "Not management user")?;
        match self.needs {
            Needs::Management => Ok(()),
            Needs::Vhost => {
                let vhost = call.vhost()?;
                let enters = call.house.users.may_enter(&user.name, &vhost.name);
                let sees = user.is_monitoring() && !changes;
                let text = "User not authorised to access virtual host";
                must(enters || sees, text)
            }
            Needs::Policies => {
                let vhost = call.vhost()?;
                let enters = call.house.users.may_enter(&user.name, &vhost.name);
                let decides = user.is_policymaker() && enters;
                let text = "User not authorised to access object";
                must(decides || user.is_administrator(), text)
            }
            Needs::Policymaker => {
                let text = "User not authorised to access object";
                must(user.is_policymaker(), text)
            }
            Needs::MonitoringOrAdministrator | Needs::ManagementOrAdministrator if changes => {
                must(user.is_administrator(), "Not administrator user")
            }
            Needs::ManagementOrAdministrator => Ok(()),
            Needs::Monitoring | Needs::MonitoringOrAdministrator => {
                must(user.is_monitoring(), "Not monitor user")
            }
            Needs::Administrator => must(user.is_administrator(), "Not administrator user"),
        }
    }

    fn captures(&self, parts: &[&str]) -> Option<Vec<String>> {
        let pattern: Vec<&str> = self.path.split('/').collect();
        if pattern.len() != parts.len() {
            return None;
        }
        let mut captured = Vec::new();
        for (wanted, part) in pattern.iter().zip(parts) {
            if wanted.starts_with('{') {
                captured.push((*part).to_owned());
            } else if wanted != part {
                return None;
            }
        }
        Some(captured)
    }
}

/// The first that fits: what is written out stands before what has names in braces.
pub(super) fn find(parts: &[&str]) -> Option<(&'static Route, Vec<String>)> {
    ROUTES
        .iter()
        .find_map(|route| Some((route, route.captures(parts)?)))
}

use Needs::{
    Administrator, Management, ManagementOrAdministrator, Monitoring, MonitoringOrAdministrator,
    Policies, Policymaker, Vhost,
};

static ROUTES: &[Route] = &[
    at("overview", Management).get(overview::show),
    at("cluster-name", ManagementOrAdministrator)
        .get(about::cluster_name)
        .put(about::set_cluster_name),
    at("nodes", Monitoring).get(nodes::list),
    at("nodes/{node}", Monitoring).get(nodes::show),
    at("nodes/{node}/memory", Monitoring).get(nodes::memory),
    at("extensions", Management).get(about::extensions),
    at("whoami", Management).get(about::whoami),
    at("auth", Management).get(about::auth),
    at("version", Management).get(about::version),
    at("auth/hash_password/{password}", Administrator).get(about::hash_password),
    at("auth/attempts/{node}", MonitoringOrAdministrator)
        .get(about::attempts)
        .delete(about::reset_attempts),
    at("auth/attempts/{node}/source", MonitoringOrAdministrator)
        .get(about::attempts_by_source)
        .delete(about::reset_attempts),
    at("feature-flags", Management).get(about::feature_flags),
    at("feature-flags/{name}/enable", Administrator).put(about::enable_feature_flag),
    at("deprecated-features", Management).get(about::deprecated_features),
    at("deprecated-features/used", Management).get(about::deprecated_features),
    at("reset/{node}", Administrator).delete(about::reset_statistics),
    at("reset", Administrator).delete(about::reset_statistics),
    at("definitions", Administrator)
        .get(definitions::export)
        .post(definitions::import),
    at("definitions/{vhost}", Administrator)
        .get(definitions::export_vhost)
        .post(definitions::import_into_vhost),
    at("all-configuration", Administrator)
        .get(definitions::export)
        .post(definitions::import),
    at("parameters", Policymaker).get(parameters::list),
    at("parameters/{component}", Policymaker).get(parameters::list_component),
    at("parameters/{component}/{vhost}", Policymaker).get(parameters::list_in_vhost),
    at("parameters/{component}/{vhost}/{name}", Policymaker)
        .get(parameters::show)
        .put(parameters::put)
        .delete(parameters::delete),
    at("global-parameters", Policymaker).get(parameters::list_global),
    at("global-parameters/{name}", Policymaker)
        .get(parameters::show_global)
        .put(parameters::put_global)
        .delete(parameters::delete_global),
    at("policies", Management).get(policies::list),
    at("policies/{vhost}", Vhost).get(policies::list_in_vhost),
    at("policies/{vhost}/{name}", Policies)
        .get(policies::show)
        .put(policies::put)
        .delete(policies::delete),
    at("operator-policies", Management).get(policies::list_operator),
    at("operator-policies/{vhost}", Vhost).get(policies::list_operator_in_vhost),
    at("operator-policies/{vhost}/{name}", Administrator)
        .get(policies::show_operator)
        .put(policies::put_operator)
        .delete(policies::delete_operator),
    at("vhost-limits", Management).get(limits::list_vhosts),
    at("vhost-limits/{vhost}", Management).get(limits::show_vhost),
    at("vhost-limits/{vhost}/{limit}", Administrator)
        .put(limits::put_vhost)
        .delete(limits::delete_vhost),
    at("user-limits", Management).get(limits::list_users),
    at("user-limits/{user}", Management).get(limits::show_user),
    at("user-limits/{user}/{limit}", Administrator)
        .put(limits::put_user)
        .delete(limits::delete_user),
    at("connections", Management).get(connections::list),
    at("connections/username/{user}", Management)
        .get(connections::list_of_user)
        .delete(connections::close_of_user),
    at("connections/{connection}", Management)
        .get(connections::show)
        .delete(connections::close),
    at("connections/{connection}/channels", Management).get(channels::list_of_connection),
    at("vhosts/{vhost}/connections", Vhost).get(connections::list_in_vhost),
    at("channels", Management).get(channels::list),
    at("channels/{channel}", Management).get(channels::show),
    at("vhosts/{vhost}/channels", Vhost).get(channels::list_in_vhost),
    at("consumers", Management).get(consumers::list),
    at("consumers/{vhost}", Management).get(consumers::list_in_vhost),
    at("exchanges", Management).get(exchanges::list),
    at("exchanges/{vhost}", Vhost).get(exchanges::list_in_vhost),
    at("exchanges/{vhost}/{name}", Vhost)
        .get(exchanges::show)
        .put(exchanges::put)
        .delete(exchanges::delete),
    at("exchanges/{vhost}/{name}/publish", Vhost).post(publish::publish),
    at("exchanges/{vhost}/{name}/bindings/source", Vhost).get(bindings::of_source),
    at("exchanges/{vhost}/{name}/bindings/destination", Vhost).get(bindings::to_exchange),
    at("queues", Management).get(queues::list),
    at("queues/detailed", Management).get(queues::list),
    at("queues/{vhost}", Vhost).get(queues::list_in_vhost),
    at("queues/{vhost}/{name}", Vhost)
        .get(queues::show)
        .put(queues::put)
        .delete(queues::delete),
    at("queues/{vhost}/{name}/contents", Vhost).delete(queues::purge),
    at("queues/{vhost}/{name}/get", Vhost).post(messages::get),
    at("queues/{vhost}/{name}/actions", Administrator).post(queues::act),
    at("queues/{vhost}/{name}/bindings", Vhost).get(bindings::to_queue),
    at("bindings", Management).get(bindings::list),
    at("bindings/{vhost}", Vhost).get(bindings::list_in_vhost),
    at("bindings/{vhost}/e/{source}/{kind}/{destination}", Vhost)
        .get(bindings::between)
        .post(bindings::bind),
    at(
        "bindings/{vhost}/e/{source}/{kind}/{destination}/{props}",
        Vhost,
    )
    .get(bindings::show)
    .delete(bindings::unbind),
    at("vhosts", Management).get(vhosts::list),
    at("vhosts/{vhost}", Administrator)
        .get(vhosts::show)
        .put(vhosts::put)
        .delete(vhosts::delete),
    at("traces", Administrator).get(traces::list),
    at("traces/node/{node}", Administrator).get(traces::list),
    at("traces/node/{node}/{vhost}", Administrator).get(traces::of_vhost),
    at("traces/node/{node}/{vhost}/{name}", Administrator)
        .get(traces::show)
        .put(traces::put)
        .delete(traces::delete),
    at("traces/{vhost}", Administrator).get(traces::of_vhost),
    at("traces/{vhost}/{name}", Administrator)
        .get(traces::show)
        .put(traces::put)
        .delete(traces::delete),
    at("trace-files", Administrator).get(traces::files),
    at("trace-files/node/{node}", Administrator).get(traces::files),
    at("trace-files/node/{node}/{name}", Administrator)
        .get(traces::file)
        .delete(traces::delete_file),
    at("trace-files/{name}", Administrator)
        .get(traces::file)
        .delete(traces::delete_file),
    at("vhosts/{vhost}/permissions", Administrator).get(permissions::of_vhost),
    at("vhosts/{vhost}/topic-permissions", Administrator).get(permissions::topics_of_vhost),
    at("vhosts/{vhost}/start/{node}", Administrator).post(vhosts::start),
    at("vhosts/{vhost}/deletion/protection", Administrator)
        .post(vhosts::protect)
        .delete(vhosts::unprotect),
    at("users", Administrator).get(users::list),
    at("users/without-permissions", Administrator).get(users::without_permissions),
    at("users/bulk-delete", Administrator).post(users::bulk_delete),
    at("users/{user}", Administrator)
        .get(users::show)
        .put(users::put)
        .delete(users::delete),
    at("users/{user}/permissions", Administrator).get(permissions::of_user),
    at("users/{user}/topic-permissions", Administrator).get(permissions::topics_of_user),
    at("permissions", Administrator).get(permissions::list),
    at("permissions/{vhost}/{user}", Administrator)
        .get(permissions::show)
        .put(permissions::put)
        .delete(permissions::delete),
    at("topic-permissions", Administrator).get(permissions::list_topics),
    at("topic-permissions/{vhost}/{user}", Administrator)
        .get(permissions::show_topics)
        .put(permissions::put_topic)
        .delete(permissions::delete_topics),
    at("topic-permissions/{vhost}/{user}/{exchange}", Administrator)
        .delete(permissions::delete_topics),
    at("shovels", Monitoring).get(services::list_shovels),
    at("shovels/{vhost}", Monitoring).get(services::list_shovels_in_vhost),
    at("shovels/vhost/{vhost}/{name}", Monitoring)
        .get(services::show_shovel)
        .delete(services::delete_shovel),
    at("shovels/vhost/{vhost}/{name}/restart", Monitoring).delete(services::restart_shovel),
    at("shovels/vhost/{vhost}/{name}/pause", Monitoring).put(services::pause_shovel),
    at("shovels/vhost/{vhost}/{name}/resume", Monitoring).put(services::resume_shovel),
    at("federation-links", Monitoring).get(services::list_links),
    at("federation-links/{vhost}", Monitoring).get(services::list_links_in_vhost),
    at("federation-links/vhost/{vhost}/{id}/restart", Monitoring).delete(services::restart_link),
    at("warren/services", Monitoring).get(services::list),
    at("warren/services/{plugin}", Monitoring).get(services::list_of_plugin),
    at(
        "warren/services/{plugin}/{vhost}/{name}/restart",
        Administrator,
    )
    .post(services::restart),
    at(
        "warren/services/{plugin}/{vhost}/{name}/pause",
        Administrator,
    )
    .post(services::pause),
    at(
        "warren/services/{plugin}/{vhost}/{name}/resume",
        Administrator,
    )
    .post(services::resume),
    at("warren/events", Management).get(events::listen),
    at("warren/plugins", Monitoring).get(plugins::list),
    at("warren/plugins/{plugin}", MonitoringOrAdministrator)
        .get(plugins::show)
        .put(plugins::put)
        .delete(plugins::remove),
    at("warren/plugins/{plugin}/enable", Administrator).post(plugins::enable),
    at("warren/plugins/{plugin}/disable", Administrator).post(plugins::disable),
    at("warren/plugins/{plugin}/reload", Administrator).post(plugins::reload),
    at("warren/plugins/{plugin}/log", Monitoring).get(plugins::log),
    at("warren/policies/{vhost}", Vhost).post(preview::show),
    at("warren/queues/{vhost}/{queue}/move", Vhost).post(moving::run),
    at("warren/explain/{vhost}", Vhost).post(explain::explain),
    at("aliveness-test/{vhost}", Vhost).get(health::aliveness),
    at("healthchecks/node", Monitoring).get(health::node),
    at("healthchecks/node/{node}", Monitoring).get(health::node),
    at("health/checks/alarms", Management).get(health::alarms),
    at("health/checks/local-alarms", Management).get(health::alarms),
    at(
        "health/checks/certificate-expiration/{within}/{unit}",
        Management,
    )
    .get(health::certificates),
    at("health/checks/port-listener/{port}", Management).get(health::port),
    at("health/checks/protocol-listener/{protocol}", Management).get(health::protocol),
    at("health/checks/virtual-hosts", Management).get(health::fine),
    at("health/checks/metadata-store/initialized", Management).get(health::fine),
    at(
        "health/checks/metadata-store/initialized/with-data",
        Management,
    )
    .get(health::fine),
    at(
        "health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}",
        Management,
    )
    .get(health::fine),
    at(
        "health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}",
        Management,
    )
    .get(health::fine),
    at("health/checks/node-is-mirror-sync-critical", Management).get(health::single_node),
    at("health/checks/node-is-quorum-critical", Management).get(health::single_node),
    at("health/checks/is-in-service", Management).get(health::in_service),
    at("health/checks/ready-to-serve-clients", Management).get(health::ready),
    at("health/checks/below-node-connection-limit", Management).get(health::below_connection_limit),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> (&'static str, Vec<String>) {
        let parts: Vec<&str> = path.split('/').collect();
        let (route, captured) = find(&parts).expect(path);
        (route.path, captured)
    }

    #[test]
    fn what_is_written_out_goes_before_names() {
        assert_eq!(found("users/bulk-delete").0, "users/bulk-delete");
        assert_eq!(found("users/ann").1, ["ann"]);
        assert_eq!(found("queues/v/q/get").1, ["v", "q"]);
        assert_eq!(found("bindings/v/e/x/q/y/k").1, ["v", "x", "q", "y", "k"]);
        assert!(find(&["bindings", "v", "x", "x", "q", "y"]).is_none());
        assert!(find(&["nope"]).is_none());
    }

    #[test]
    fn no_path_stands_here_twice() {
        for (index, route) in ROUTES.iter().enumerate() {
            let again = ROUTES
                .iter()
                .skip(index + 1)
                .any(|other| other.path == route.path);
            assert!(!again, "{}", route.path);
        }
    }
}
