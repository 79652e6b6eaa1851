//! The dashboards, held by rules of their own and by a real Prometheus that scraped the daemon.
