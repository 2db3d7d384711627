//! The demo's prompts: a few hundred small tasks, always the same ones.

use std::fmt::Write as _;

/// How many prompts there are: about ten seconds of work for the keys of the stage.
pub const PROMPTS: usize = 420;

const TASKS: [&str; 10] = [
    "Explain {} to a ten-year-old in two sentences.",
    "Write a limerick about {}.",
    "List three risks of {} and how to lower each.",
    "Turn this note into a polite e-mail: \"we must talk about {}\".",
    "Which question about {} would an expert ask first?",
    "Summarise the history of {} in fifty words.",
    "Give a counter-argument to: \"{} is a solved problem\".",
    "Invent a shop that sells {} and name its slogan.",
    "Translate \"I know nothing of {}\" into French and Polish.",
    "Write a test case that would find a bug in software for {}.",
];

const TOPICS: [&str; 45] = [
    "lighthouses",
    "sourdough",
    "tide tables",
    "chess clocks",
    "beekeeping",
    "night trains",
    "paper maps",
    "glaciers",
    "vaccination records",
    "bicycle brakes",
    "street markets",
    "the water cycle",
    "ferry timetables",
    "pottery kilns",
    "seed banks",
    "crossword puzzles",
    "elevator dispatch",
    "bird migration",
    "letterpress printing",
    "tax forms",
    "coral reefs",
    "mountain rescue",
    "piano tuning",
    "power grids",
    "library catalogues",
    "tea ceremonies",
    "weather balloons",
    "railway signals",
    "cheese ageing",
    "satellite orbits",
    "city parks",
    "dictionary making",
    "canal locks",
    "subtitle timing",
    "fire drills",
    "stamp collecting",
    "bridge inspections",
    "rain gauges",
    "hot-air balloons",
    "watch repair",
    "orchard pruning",
    "harbour pilots",
    "sign languages",
    "desert gardens",
    "marathon pacing",
];

/// The prompts as lines of OpenAI's Batch API.
pub fn rows() -> String {
    let mut rows = String::new();
    for number in 0..PROMPTS {
        let task = TASKS[number % TASKS.len()];
        let prompt = task.replace("{}", TOPICS[number / TASKS.len() % TOPICS.len()]);
        let body = serde_json::json!({
            "model": "fast",
            "max_tokens": 100,
            "messages": [{ "role": "user", "content": prompt }],
        });
        let row = serde_json::json!({
            "custom_id": format!("demo-{number:03}"),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
        });
        // Writing into a string can't fail.
        let _ = writeln!(rows, "{row}");
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_prompt_comes_twice() {
        let rows = rows();
        let contents: HashSet<_> = rows
            .lines()
            .map(|row| {
                serde_json::from_str::<serde_json::Value>(row).unwrap()["body"]["messages"].to_string()
            })
            .collect();
        assert_eq!(contents.len(), PROMPTS);
        assert_eq!(rows, super::rows(), "always the same ones");
    }
}
