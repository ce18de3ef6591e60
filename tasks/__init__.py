"""The evaluation tasks, `<name>.yaml`. Installed as `cot.tasks`; no code."""
