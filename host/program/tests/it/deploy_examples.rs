//! What `examples/deploy` holds: words that systemd, Docker Compose and this program know.

use std::collections::BTreeSet;
use std::path::Path;

/// Directives of the unit, by section: those that it has, and others that it may well get.
const DIRECTIVES: &[(&str, &str)] = &[
    ("Unit", "Description Documentation Wants Requires After Before"),
    (
        "Service",
        "Type ExecStart Environment EnvironmentFile LoadCredential Restart RestartSec TimeoutStopSec LimitNOFILE \
         DynamicUser User Group StateDirectory StateDirectoryMode CacheDirectory WorkingDirectory UMask ProtectSystem \
         ProtectHome PrivateTmp PrivateDevices NoNewPrivileges CapabilityBoundingSet AmbientCapabilities \
         LockPersonality ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules \
         ProtectKernelTunables RemoveIPC RestrictAddressFamilies RestrictNamespaces RestrictRealtime \
         RestrictSUIDSGID SystemCallArchitectures SystemCallFilter SystemCallErrorNumber MemoryMax ReadWritePaths",
    ),
    ("Install", "WantedBy"),
];

/// Keys of the compose file, by how far they are indented; below that they are free.
const TOP: &str = "name services volumes secrets";
const OF_SERVICE: &str = "image restart command depends_on environment secrets ports volumes healthcheck \
                          stop_grace_period read_only tmpfs cap_drop security_opt <<";

fn knows(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|known| known == word)
}

/// What is wrong with a unit, line by line.
fn unit_faults(text: &str, flags: &str) -> Vec<String> {
    let mut section = "";
    let mut faults = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let known = DIRECTIVES.iter().find(|(name, _)| *name == section).map_or("", |(_, known)| known);
        match line.split_once('=') {
            Some((name, _)) if !knows(known, name) => faults.push(format!("[{section}] knows no {name}")),
            Some(("ExecStart", words)) => {
                let mut words = words.split(' ').skip(1);
                if words.next() != Some("serve") {
                    faults.push("only `serve` runs a host".to_owned());
                }
                let unknown = words.filter(|word| word.starts_with("--") && !knows(flags, word));
                faults.extend(unknown.map(|word| format!("`serve` has no {word}")));
            }
            Some(_) => {}
            None => faults.push(format!("`{line}` is no directive")),
        }
    }
    faults
}

/// What is wrong with a compose file, as far as can be told without reading YAML.
fn compose_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut top = "";
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if line.contains('\t') || indent % 2 == 1 {
            faults.push(format!("`{line}` is not indented by twos"));
        }
        let Some((key, _)) = line.trim_start().split_once(':') else { continue };
        match indent {
            0 => {
                top = key;
                if !knows(TOP, key) {
                    faults.push(format!("a compose file has no {key}"));
                }
            }
            4 if top == "services" && !knows(OF_SERVICE, key) => faults.push(format!("a service has no {key}")),
            _ => {}
        }
        // The port of the machine stands behind its address.
        let published = line.trim_start().strip_prefix("- \"").filter(|_| line.trim_end().ends_with(":7711\""));
        if published.is_some_and(|port| !port.starts_with("127.0.0.1:")) {
            faults.push(format!("`{}` is open to all", line.trim()));
        }
    }
    faults
}

/// Settings that `text` gives in the environment, and that `pages` don't name.
fn unknown_settings(text: &str, pages: &str) -> BTreeSet<String> {
    let rest = text.split("FANTASCOPE__").skip(1);
    let names = rest.filter_map(|rest| rest.split([':', '=']).next());
    let names = names.map(|name| name.replace("__", ".").to_lowercase());
    names.filter(|name| !pages.contains(&format!("`{name}`"))).collect()
}

fn read(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    std::fs::read_to_string(root.join(file)).unwrap()
}

#[test]
fn examples_of_deployment_say_what_is_known() {
    let flags = "--config --listen --exit-when-caught-up";
    let (unit, compose) = (read("examples/deploy/fantascope.service"), read("examples/deploy/compose.yaml"));
    let pages = read("docs/operating.md") + &read("docs/databases.md");
    assert_eq!(unit_faults(&unit, flags), [""; 0]);
    assert_eq!(compose_faults(&compose), [""; 0]);
    assert_eq!(unknown_settings(&format!("{unit}\n{compose}"), &pages), BTreeSet::new());
    // A unit that hides processes makes hosts on one machine believe that the others are gone.
    assert!(!unit.lines().any(|line| line.starts_with("ProtectProc=") || line.starts_with("PrivatePIDs=")));

    let unit = "[Service]\nExecStart=/bin/fantascope server --confg x\nNoNewPrivilege=yes\nyes\n[Instal]\nWantedBy=x";
    let found = unit_faults(unit, flags).join("\n");
    for fault in ["only `serve`", "no --confg", "no NoNewPrivilege", "`yes` is no", "[Instal] knows no WantedBy"] {
        assert!(found.contains(fault), "{fault}: {found}");
    }
    let compose = "service:\n  a:\n   image: b\nservices:\n  a:\n    port:\n      - \"7711:7711\"";
    let found = compose_faults(compose).join("\n");
    for fault in ["has no service", "by twos", "has no port", "is open to all"] {
        assert!(found.contains(fault), "{fault}: {found}");
    }
    assert!(unknown_settings("FANTASCOPE__STORE__ULR=x", "`store.url`").contains("store.ulr"));
}
