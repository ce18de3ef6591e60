"""The prompt templates, `<strategy>/<step>.jinja`. Installed as `cot.prompts`; words only, no code."""
