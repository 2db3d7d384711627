"""Reads /metrics as strictly as Prometheus' own library does: python metrics_story.py ADMIN_URL."""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def scrape(url):
    with urllib.request.urlopen(url + "/metrics", timeout=20) as answer:
        kind = answer.headers["content-type"]
        assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
        families = list(text_string_to_metric_families(answer.read().decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), names
    return {family.name: family for family in families}


def main(url):
    first, second = scrape(url), scrape(url)
    for name, kind in {
        "keywheel_requests": "counter",
        "keywheel_tokens": "counter",
        "keywheel_key_calls": "counter",
        "keywheel_dead_letters": "counter",
        "keywheel_request_duration_seconds": "histogram",
        "keywheel_overhead_seconds": "histogram",
        "keywheel_keys": "gauge",
        "keywheel_resident_memory_bytes": "gauge",
    }.items():
        assert first[name].type == kind, (name, first[name].type)
        assert first[name].documentation, name
    for name, family in first.items():
        for sample in family.samples:
            assert name.startswith("keywheel_"), name
            assert not any(value.startswith("sk-") for value in sample.labels.values()), sample
    # In whatever order they come.
    calls, again = (
        {tuple(sorted(sample.labels.items())): sample.value for sample in seen["keywheel_key_calls"].samples}
        for seen in (first, second)
    )
    assert sum(calls.values()) == 3 and calls == again, (calls, again)
    served = [sample for sample in first["keywheel_requests"].samples if sample.labels["ending"] == "served"]
    assert sum(sample.value for sample in served) == 3, served
    # A name may hold what would end its label.
    models = {sample.labels["model"] for sample in served}
    assert models == {"m", 'we"ird\\{}'}, models


main(sys.argv[1])
