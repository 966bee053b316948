//! The names and addresses that the broker's own certificate is good for: the one place that lists them.
//!
//! A wildcard is legal in the leftmost label only, and stands for one label, so the hosts of Kinesis, and those of the
//! other services that the broker serves, are listed region by region. Names of which no verifier makes anything
//! (`*.localhost` for some) do no harm.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Regions whose hosts are named; the configured one is added.
const REGIONS: [&str; 37] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// The hosts and addresses that a certificate is valid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// DNS names, some with a wildcard as their first label.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

impl Names {
    /// The names of a broker in `region` on this machine, listening on `listening`.
    pub fn of_this_machine(region: &str, listening: &[SocketAddr]) -> Self {
        Self::new(region, &rustix::system::uname().nodename().to_string_lossy(), listening)
    }

    /// The names of a broker in `region` on a machine called `machine`, listening on `listening`.
    pub fn new(region: &str, machine: &str, listening: &[SocketAddr]) -> Self {
        let mut hosts = vec!["localhost".to_owned(), "*.localhost".to_owned()];
        if machine.split('.').all(is_label) && machine != "localhost" {
            hosts.push(machine.to_owned());
        }
        let own = Some(region).filter(|region| is_label(region) && !REGIONS.contains(region));
        hosts.extend(REGIONS.into_iter().chain(own).flat_map(service_hosts));
        hosts.push(GLOBAL_STS_HOST.to_owned());
        let mut addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        for address in listening.iter().map(SocketAddr::ip) {
            if !address.is_unspecified() && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Self { hosts, addresses }
    }
}

/// Host of STS that older SDKs use in every region.
const GLOBAL_STS_HOST: &str = "sts.amazonaws.com";

/// Where SDKs look for the services of the broker in a region. Kinesis has hosts with an account or a stream's id in
/// front, and without; queues have hosts of their own. KCL looks for DynamoDB and CloudWatch (`monitoring`), older KPLs
/// for STS.
fn service_hosts(region: &str) -> [String; 9] {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    [
        "kinesis",
        "*.data-kinesis",
        "*.control-kinesis",
        "kinesis-queues",
        "*.data-kinesis-queues",
        "*.control-kinesis-queues",
        "dynamodb",
        "monitoring",
        "sts",
    ]
    .map(|service| format!("{service}.{region}.{domain}"))
}

/// Whether DNS takes it between two dots.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_region_and_concrete_addresses_are_named() {
        let listening = ["0.0.0.0:1", "[::]:1", "127.0.0.1:1", "192.0.2.7:1", "192.0.2.7:2"];
        let listening = listening.map(|address| address.parse().unwrap());
        let names = Names::new("mars-1", "broker.example", &listening);
        for host in [
            "localhost",
            "broker.example",
            "kinesis.mars-1.amazonaws.com",
            "dynamodb.mars-1.amazonaws.com",
            "monitoring.us-east-1.amazonaws.com",
            "sts.cn-north-1.amazonaws.com.cn",
            "sts.amazonaws.com",
        ] {
            assert!(names.hosts.iter().any(|own| own == host), "{host}");
        }
        assert_eq!(
            names.addresses,
            ["127.0.0.1", "::1", "192.0.2.7"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
    }

    #[test]
    fn names_that_dns_refuses_are_left_out_and_none_comes_twice() {
        let mut hosts = Names::new("us-east-1", "my_machine", &[]).hosts;
        assert!(!hosts.iter().any(|host| host.contains('_')));
        assert!(hosts.contains(&"*.data-kinesis.cn-north-1.amazonaws.com.cn".to_owned()));
        assert!(hosts.contains(&"kinesis-queues.us-east-1.amazonaws.com".to_owned()));
        assert!(hosts.contains(&"*.data-kinesis-queues.us-east-1.amazonaws.com".to_owned()));
        assert_eq!(Names::new("-", "", &[]).hosts, hosts);
        let count = hosts.len();
        hosts.sort();
        hosts.dedup();
        assert_eq!(hosts.len(), count);
    }
}
