"""The undocumented parts of Gradio that `app/gradio_parts.py` uses are still what they were."""

import inspect
from contextvars import ContextVar

import pytest

gradio = pytest.importorskip("gradio")


@pytest.fixture
def blocks():
    with gradio.Blocks(analytics_enabled=False) as blocks:
        pass
    return blocks


def test_inputs_are_prepared_by_the_method_that_is_overridden():
    from app.gradio_parts import GuardedBlocks

    ours, theirs = (inspect.signature(kind.preprocess_data) for kind in (GuardedBlocks, gradio.Blocks))
    assert list(ours.parameters) == list(theirs.parameters)
    assert "preprocess_data(" in inspect.getsource(gradio.Blocks.process_api)


def test_paths_are_checked_once_a_page_has_launched(blocks):
    from gradio import processing_utils

    from app.gradio_parts import check_paths

    assert blocks.has_launched is False
    check_paths(blocks)
    assert blocks.has_launched is True
    assert "not blocks.has_launched" in inspect.getsource(processing_utils)


def test_the_number_of_events_is_the_queues(blocks):
    from app.gradio_parts import allow_events

    blocks.queue()
    assert blocks._queue.max_thread_count == 40
    allow_events(blocks, 1000)
    assert blocks._queue.max_thread_count == 1000


def test_an_event_knows_whether_its_visitor_is_there(blocks):
    from gradio.context import LocalContext
    from gradio.queueing import Event

    assert isinstance(LocalContext.blocks, ContextVar)
    assert isinstance(LocalContext.event_id, ContextVar)
    assert blocks._queue.event_ids_to_events == {}
    assert "self.alive = True" in inspect.getsource(Event.__init__)


def test_names_of_deleted_files_are_forgotten(blocks, tmp_path):
    from app.gradio_parts import forget_deleted_files

    there, gone = str(tmp_path), str(tmp_path / "gone.png")
    blocks.upload_file_set.update([there, gone])
    forget_deleted_files(blocks)
    assert blocks.upload_file_set == {there}


def test_the_number_of_openings_that_are_remembered_is_the_page_s(blocks):
    from gradio.state_holder import StateHolder

    from app.gradio_parts import remember_sessions

    remember_sessions(blocks, 2)
    holder = StateHolder()
    holder.set_blocks(blocks)
    for session in "abc":
        assert holder[session]
    assert list(holder.session_data) == ["b", "c"]


def test_texts_of_a_browser_are_bounded(blocks):
    from app.gradio_parts import mistake

    with blocks:
        box = gradio.Textbox()
        box.change(lambda text: None, box)
    event = {"session_hash": "a", "fn_index": next(iter(blocks.fns))}
    assert mistake(blocks, {**event, "data": ["x" * 10_000]}) is None
    assert mistake(blocks, {**event, "data": ["x" * 10_001]}) == "data[0]: this is no value for a Textbox."
