"""What the slash commands do, a file for each matter; `cot/chat/command.py` says how they are called."""
