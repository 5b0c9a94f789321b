"""What a wheel contains: everything in one folder, stylizer/, since other packages, too, have an "app"."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CODE = ("app", "styles", "transformer_net", "stylize.py", "train_style.py", "train_predictor.py")


class OneFolder(BuildHookInterface):
    """Puts the contents into the folder, and beside it the .pth file that adds it to Python's path."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by the build backend; an editable installation needs the path of the checkout only."""
        if version == "editable":
            return
        added = Path(self.root, "build", "stylizer.pth")
        added.parent.mkdir(exist_ok=True)
        added.write_text("stylizer\n")
        build_data["force_include"] |= {name: f"stylizer/{name}" for name in (*CODE, "examples")}
        build_data["force_include"][str(added)] = added.name
