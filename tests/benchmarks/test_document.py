"""Documents whose figures are measured anew."""

import pytest

from benchmarks.document import document, renewed
from transformer_net.errors import SettingError

TEXT = """# Title

<!-- python -c "print('| a |')" -->

| old |

<!-- end -->

Between.

<!-- python -c "print(2)" -->
<!-- end -->
"""


def test_output_takes_the_place_of_the_last_one():
    new = renewed(TEXT)
    assert new == TEXT.replace("| old |", "| a |").replace('(2)" -->\n', '(2)" -->\n\n2\n\n')
    assert renewed(new) == new


def test_only_some_commands():
    assert renewed(TEXT, "print(2)") == TEXT.replace('(2)" -->\n', '(2)" -->\n\n2\n\n')
    with pytest.raises(SettingError, match="no command with 'nothing' in it"):
        renewed(TEXT, "nothing")


def test_a_command_that_fails_leaves_the_document_alone(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(TEXT.replace("print(2)", "raise SystemExit(3)"))
    with pytest.raises(SettingError, match="failed; the document stays as it was"):
        document(path)
    assert path.read_text() == TEXT.replace("print(2)", "raise SystemExit(3)")
    with pytest.raises(SettingError, match=r"none\.md cannot be read"):
        document(tmp_path / "none.md")
