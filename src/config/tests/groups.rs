//! Rules for groups: `[[groups]]`.

use watershed_metadata::configs::Assignment;

use super::*;

#[test]
fn the_brokers_settings_know_the_assignors_that_were_chosen() {
    let loaded = Case::new("[kafka]\n\"group.consumer.assignors\" = [\"sticky\", \"range\"]\n").load();
    let broker = loaded.config.broker_config();
    assert_eq!(broker.settings().groups.consumer_assignors, ["sticky", "range"]);
}

#[test]
fn rules_for_groups_are_read_in_their_order() {
    let file =
        "[[groups]]\nmatch = \"orders-*\"\nassignor = \"sticky\"\nassignment = \"broker\"\n[[groups]]\nmatch = \"*\"\n";
    let rules = Case::new(file).load().config.group_rules();
    let found = |id: &str| rules.rule_for(id).map(|rule| (rule.assignor.as_deref(), rule.assignment));
    assert_eq!(found("orders-eu"), Some((Some("sticky"), Assignment::Broker)));
    assert_eq!(found("other"), Some((None, Assignment::Client)));
    assert_eq!(Config::default().group_rules().rule_for("orders-eu"), None);
    check(
        "[[groups]]\nmatch = \"a*\"\nassignor = \"stick\"\n[[groups]]\nmatch = \"a*\"\nassignment = \"server\"\n\
         [[groups]]\nassignor = \"mine\"\n",
        &[
            "w.toml:6: groups[1].assignment: \"client\" or \"broker\" is expected, not \"server\"",
            "w.toml:7: groups[2].match: it is missing; a text is expected",
        ],
    );
    let long = format!("[[groups]]\nmatch = \"{}\"\n", "a".repeat(128));
    check(&long, &["w.toml:2: groups[0].match: a pattern has at most 127 characters besides *"]);
    check("[[groups]]\nmatch = \"\"\n", &["w.toml:2: groups[0].match: a text is expected, not the text \"\""]);
    check(
        "[[groups]]\nmatch = \"a*\"\nassignor = \"stick\"\n[[groups]]\nmatch = \"a*\"\nassignor = \"mine\"\n",
        &[
            "w.toml:3: groups[0].assignor: \"stick\" is refused: this broker has the assignors range, round-robin, \
             sticky, uniform; did you mean sticky?",
            "w.toml:5: groups[1].match: groups[0] matches the same ids and comes first",
            "w.toml:6: groups[1].assignor: \"mine\" is refused: this broker has the assignors range, round-robin, \
             sticky, uniform",
        ],
    );
    check(
        "[kafka]\n\"group.consumer.assignors\" = [\"uniform\", \"mine\"]\n",
        &["w.toml:2: kafka.\"group.consumer.assignors\": \"uniform,mine\" is refused: this broker has the assignors \
           range, round-robin, sticky, uniform"],
    );
}
