"""The evaluation suites, `<name>.yaml`: which tasks are run together. Installed as `cot.suites`; no code."""
