//! Keywords of `ssh_config(5)` that are not followed: what each means for a login.

/// What to do about a keyword that is not followed.
pub(super) enum Unfollowed {
    /// It changes nothing about where a login goes, as whom, and whom it trusts; or evonic is
    /// stricter.
    Harmless,
    /// It is refused unless its value is one of these, with this advice.
    Refused { unless: &'static [&'static str], advice: &'static str },
}

/// [`None`] for a keyword that OpenSSH does not know either.
pub(super) fn unfollowed(keyword: &str) -> Option<Unfollowed> {
    let refused = |unless, advice| Some(Unfollowed::Refused { unless, advice });
    match keyword {
        "bindaddress" | "bindinterface" => refused(
            &[],
            "the address to connect from cannot be chosen; let this machine's routes choose it",
        ),
        "refuseconnection" => refused(&[], "the configuration refuses this host"),
        "canonicalizehostname" => {
            refused(&["no", "false"], "names are not completed; write the whole one as HostName")
        }
        "knownhostscommand" => {
            refused(&["none"], "no program is asked for keys; write them to UserKnownHostsFile")
        }
        "revokedhostkeys" => {
            refused(&["none"], "mark the keys with @revoked in a file of known hosts")
        }
        "pkcs11provider" | "smartcarddevice" => refused(
            &["none"],
            "tokens are not asked; add their keys to an agent (ssh-add -s) and name it in \
             IdentityAgent",
        ),
        _ => HARMLESS.contains(&keyword).then_some(Unfollowed::Harmless),
    }
}

const HARMLESS: &[&str] = &[
    "addkeystoagent",
    "afstokenpassing",
    "batchmode",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "casignaturealgorithms",
    "channeltimeout",
    "checkhostip",
    "cipher",
    "ciphers",
    "clearallforwardings",
    "compression",
    "compressionlevel",
    "connectionattempts",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dynamicforward",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fallbacktorsh",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "gssapiauthentication",
    "gssapiclientidentity",
    "gssapidelegatecredentials",
    "gssapikexalgorithms",
    "gssapikeyexchange",
    "gssapirenewalforcesrekey",
    "gssapiserveridentity",
    "gssapitrustdns",
    "hashknownhosts",
    "hostbasedacceptedalgorithms",
    "hostbasedauthentication",
    "hostbasedkeytypes",
    "hostkeyalgorithms",
    "ipqos",
    "kbdinteractivedevices",
    "keepalive",
    "kexalgorithms",
    "localcommand",
    "localforward",
    "logfacility",
    "loglevel",
    "logverbose",
    "macs",
    "nohostauthenticationforlocalhost",
    "numberofpasswordprompts",
    "obscurekeystroketiming",
    "permitlocalcommand",
    "permitremoteopen",
    "protocol",
    "protocolkeepalives",
    "proxyusefdpass",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
    "rekeylimit",
    "remotecommand",
    "remoteforward",
    "requesttty",
    "requiredrsasize",
    "rhostsauthentication",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "securitykeyprovider",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "sessiontype",
    "setenv",
    "setuptimeout",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "syslogfacility",
    "tag",
    "tcpkeepalive",
    "tunnel",
    "tunneldevice",
    "updatehostkeys",
    "useprivilegedport",
    "useroaming",
    "usersh",
    "verifyhostkeydns",
    "versionaddendum",
    "visualhostkey",
    "warnweakcrypto",
    "xauthlocation",
];
