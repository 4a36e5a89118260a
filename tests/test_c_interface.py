"""Nothing of the C++ interface is missing in C, unless a reason is written here.

The headers are read as text. A new public method, function or member of C++ fails the first test
until it has a counterpart in `slidecell.h` or a reason.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

INCLUDE = Path(__file__).parents[1] / "csrc" / "include" / "slidecell"

LAYERS = "a layer outside of a model: C loads models"
GATHER = "windows as arrays: score, predict and encode take the series itself"
FLAT = "a scorer that is made of arrays: C loads models"
TEXT = "the text of a status, which slidecell_last_error has"
SAME = "a value that the caller of C gave or computes itself"

# C++ -> functions and members of C, or (where there is a blank) the reason why there is none.
COUNTERPARTS = {
    "available_isas": "slidecell_isa",
    "refused_isas": "slidecell_isa_refusal",
    "active_isa": "slidecell_active_isa",
    "set_isa": "slidecell_set_isa",
    "default_num_threads": "slidecell_default_num_threads",
    "had_fewer_threads": "slidecell_had_fewer_threads",
    "set_poll": "a call is ended by an exception, which C has not",
    "SequenceModel::SequenceModel": "a model of parts that a program computed: C loads files",
    "SequenceModel::load": "slidecell_model_load",
    "SequenceModel::input_size": "slidecell_model_input_size",
    "SequenceModel::window": "slidecell_model_window",
    "SequenceModel::horizon": "slidecell_model_horizon",
    "SequenceModel::num_targets": "slidecell_model_num_targets",
    "SequenceModel::code_size": "slidecell_model_code_size",
    "SequenceModel::features": "slidecell_model_feature",
    "SequenceModel::reduction": "slidecell_model_reduction",
    "SequenceModel::score": "slidecell_score slidecell_score_f64",
    "SequenceModel::flag": "slidecell_flag slidecell_flag_f64",
    "SequenceModel::predict": "slidecell_predict slidecell_predict_f64",
    "SequenceModel::predict_log_variance": (
        "slidecell_predict_log_variance slidecell_predict_log_variance_f64"
    ),
    "SequenceModel::encode": "slidecell_encode slidecell_encode_f64",
    "SequenceModel::decision": "slidecell_model_decision",
    "SequenceModel::plan": "slidecell_model_plan",
    "read_model_file": "the parts of a file: C loads models",
    "write_model_file": "the parts of a file: C loads models",
    "model_file_header": "the parts of a file: C loads models",
    "ScoreOptions::precision": "slidecell_options.precision",
    "ScoreOptions::reduction": "slidecell_options.reduction",
    "ScoreOptions::aggregate": "slidecell_options.aggregate",
    "ScoreOptions::per_feature": "slidecell_options.per_feature",
    "ScoreOptions::stride": "slidecell_options.stride",
    "ScoreOptions::num_threads": "slidecell_options.num_threads",
    "ScoreOptions::kernel": "slidecell_options.kernel",
    "ScoreOptions::windows": "slidecell_options.windows",
    "FlagOptions::reduction": "slidecell_flag_options.reduction",
    "FlagOptions::moving_average": "slidecell_flag_options.moving_average",
    "FlagOptions::trailing_mean": "slidecell_flag_options.trailing_mean",
    "FlagOptions::stride": "slidecell_flag_options.stride",
    "FlagOptions::audit": "slidecell_flag_options.audit",
    "FlagOptions::speculate": "slidecell_flag_options.speculate",
    "FlagOptions::certify": "slidecell_flag_options.certify",
    "FlagOptions::num_threads": "slidecell_flag_options.num_threads",
    "FlagAudit::method": "slidecell_flag_audit.method",
    "FlagAudit::reasons": "slidecell_flag_audit.reasons",
    "FlagAudit::windows": "slidecell_flag_audit.windows",
    "FlagAudit::exact": "slidecell_flag_audit.exact",
    "FlagAudit::seams": "slidecell_flag_audit.seams",
    "FlagAudit::seam_p99": "slidecell_flag_audit.seam_p99",
    "FlagAudit::whole_blocks": "slidecell_flag_audit.whole_blocks",
    "FlagAudit::certified": "slidecell_flag_audit.certified",
    "FlagAudit::absolute": "slidecell_flag_audit.absolute",
    "FlagAudit::margin": "slidecell_flag",
    "FlagAudit::cheap": "slidecell_flag_audit.cheap",
    "FlagAudit::verified": "slidecell_flag_audit.verified",
    "FlagAudit::wrong": "slidecell_flag_audit.wrong",
    "FlagAudit::wrong_at_most": "slidecell_flag_audit.wrong_at_most",
    "KernelPlan::isa": "slidecell_plan.isa",
    "KernelPlan::kernel": "slidecell_plan.kernel",
    "KernelPlan::precision": "slidecell_plan.precision",
    "KernelPlan::tile": "slidecell_plan.tile",
    "KernelPlan::threads": "slidecell_plan.threads",
    "Decision::threshold": "slidecell_decision.threshold",
    "Decision::ewma_alpha": "slidecell_decision.ewma_alpha",
    "Decision::moving_average": "slidecell_decision.moving_average",
    "Decision::trailing_mean": "slidecell_decision.trailing_mean",
    "Decision::reduction": "slidecell_decision.reduction",
    "Stream::Stream": "slidecell_stream_create",
    "Stream::num_entities": "slidecell_stream_num_entities",
    "Stream::input_size": "slidecell_stream_input_size",
    "Stream::features": "slidecell_model_feature",
    "Stream::rows_seen": "slidecell_stream_rows_seen",
    "Stream::bytes_per_entity": "slidecell_stream_bytes_per_entity",
    "Stream::plan": "slidecell_stream_plan",
    "Stream::push": "slidecell_stream_push slidecell_stream_push_f64",
    "Stream::push_many": "slidecell_stream_push_many slidecell_stream_push_many_f64",
    "Stream::advance": "slidecell_stream_advance",
    "Stream::set_background": "slidecell_stream_set_background",
    "Stream::audit": "slidecell_stream_audit",
    "Stream::predict_next": "slidecell_stream_predict_next",
    "Stream::reset": "slidecell_stream_reset",
    "Stream::resize": "slidecell_stream_resize",
    "Stream::save": "slidecell_stream_save",
    "Stream::load": "slidecell_stream_load",
    "Stream::saved_bytes": "slidecell_stream_saved_bytes",
    "Stream::from_saved_bytes": "slidecell_stream_from_saved_bytes",
    "Stream::state_bytes": "slidecell_stream_state_bytes",
    "Stream::state_bytes_size": "slidecell_stream_state_bytes",
    "Stream::restore": "slidecell_stream_restore",
    "StreamOptions::precision": "slidecell_options.precision",
    "StreamOptions::reduction": "slidecell_options.reduction",
    "StreamOptions::aggregate": "slidecell_options.aggregate",
    "StreamOptions::max_bytes": "slidecell_options.max_bytes",
    "StreamOptions::mode": "slidecell_options.windows",
    "SeamAudit::seams": "slidecell_seam_audit.seams",
    "SeamAudit::carried": "slidecell_seam_audit.carried",
    "SeamAudit::exact": "slidecell_seam_audit.exact",
    "status_text": TEXT,
    "Monitor::Monitor": "slidecell_monitor_create",
    "Monitor::push": "slidecell_monitor_push slidecell_monitor_push_f64",
    "Monitor::reset": "slidecell_monitor_reset",
    "Monitor::threshold": "slidecell_monitor_threshold",
    "Monitor::stream": "slidecell_monitor_stream",
    "Event::score": "slidecell_event.score",
    "Event::smoothed": "slidecell_event.smoothed",
    "Event::alarm": "slidecell_event.alarm",
    "WindowPlan::WindowPlan": "slidecell_num_windows",
    "WindowPlan::size": "slidecell_num_windows",
    "WindowPlan::start": "slidecell_window_starts",
    "WindowPlan::entity_of": "follows from the starts of windows and the caller's offsets",
    "WindowPlan::window": "slidecell_model_window",
    "WindowPlan::horizon": "slidecell_model_horizon",
    "WindowPlan::stride": SAME,
    "WindowPlan::num_entities": SAME,
    "WindowPlan::num_rows": SAME,
    "WindowPlan::offsets": SAME,
    "WindowPlan::first_window": SAME,
    "WindowPlan::gather": GATHER,
    "WindowPlan::gather_all": GATHER,
    "gather_rows": GATHER,
    "WindowScorer::WindowScorer": FLAT,
    "WindowScorer::nearest": FLAT,
    "WindowScorer::subspace": FLAT,
    "WindowScorer::forecast": FLAT,
    "WindowScorer::window": FLAT,
    "WindowScorer::features": FLAT,
    "WindowScorer::horizon": FLAT,
    "WindowScorer::score": FLAT,
    "WindowScorer::score_own": FLAT,
    "row_means": FLAT,
    "Recurrent::Recurrent": LAYERS,
    "Recurrent::specs": LAYERS,
    "Recurrent::forward": LAYERS,
    "Recurrent::step": LAYERS,
    "cells_by_name": LAYERS,
    "activations_by_name": LAYERS,
    "recurrent_activations_by_name": LAYERS,
    "info_of": LAYERS,
    "is_trainable": LAYERS,
    "training_saved_size": LAYERS,
    "training_forward": LAYERS,
    "training_backward": LAYERS,
}

# Types whose members are asked for one by one; the others of these headers are the arguments of
# what has a reason above.
STRUCTS = {"ScoreOptions", "FlagOptions", "FlagAudit", "StreamOptions", "KernelPlan"}
STRUCTS |= {"Decision", "Event", "SeamAudit"}
ENUMS = {"Precision", "Kernel", "Reduction", "Aggregate", "Windows"}
STATUSES = {
    "ok": "SLIDECELL_OK",
    "unknown_entity": "SLIDECELL_UNKNOWN_ENTITY",
    "not_a_forecaster": "SLIDECELL_NOT_A_FORECASTER",
    "null_pointer": "SLIDECELL_INVALID_ARGUMENT",
}


def without_comments(path: Path) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


def body(text: str, start: int) -> str:
    """Return what stands between the braces that open at or behind ``start``."""
    begin = text.index("{", start) + 1
    depth = 1
    for at in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[begin:at]
    raise AssertionError("braces do not match")


def outermost(text: str) -> str:
    """Return the text without what stands between braces and between parentheses."""
    kept, depth = "", 0
    for char in text:
        depth -= char in "})"
        kept += char if depth == 0 else ""
        depth += char in "{("
    return kept


def public_methods(name: str, inside: str) -> set[str]:
    """Return the class's public methods, less those that copy, move and destroy it."""
    public = inside.split("private:", maxsplit=1)[0]
    public = re.sub(rf"~{name}\(\);|{name}\((?:const )?{name}&&?\)|operator=\([^)]*\)", "", public)
    return {f"{name}::{method}" for method in re.findall(r"(\w+)\(\)", outermost(public))}


def cpp_interface() -> set[str]:
    found = set()
    for path in sorted(INCLUDE.glob("*.hpp")):
        text = without_comments(path)
        for match in re.finditer(r"class SLIDECELL_API (\w+)", text):
            if path.name != "error.hpp":  # exceptions: the statuses of C
                found |= public_methods(match[1], body(text, match.end()))
        for match in re.finditer(r"struct (\w+) \{", text):
            if match[1] in STRUCTS:
                members = re.findall(r"(\w+)(?: = [^;]+)?;", body(text, match.start()))
                found |= {f"{match[1]}::{member}" for member in members}
        found |= set(re.findall(r"^SLIDECELL_API [^;()]*?(\w+)\(", text, flags=re.MULTILINE))
    return found


def c_interface() -> tuple[set[str], set[str]]:
    """Return the functions of C, and the members of its structs as `struct.member`."""
    text = without_comments(INCLUDE / "slidecell.h")
    functions = set(re.findall(r"SLIDECELL_API [^;()]*?(\w+)\(", text))
    members = set()
    for match in re.finditer(r"typedef struct (\w+) \{", text):
        names = re.findall(r"(\w+)(?:\[\d+\])?;", body(text, match.start()))
        members |= {f"{match[1]}.{name}" for name in names}
    return functions, members


def test_everything_of_cpp_has_a_counterpart_in_c_or_a_reason() -> None:
    assert cpp_interface() == set(COUNTERPARTS)
    functions, members = c_interface()
    for name, counterpart in COUNTERPARTS.items():
        if counterpart.startswith("slidecell"):
            assert set(counterpart.split()) <= functions | members, name
        else:
            assert " " in counterpart, name


def test_everything_of_c_is_the_counterpart_of_something() -> None:
    functions, members = c_interface()
    counterparts = [text for text in COUNTERPARTS.values() if text.startswith("slidecell")]
    named = {word for text in counterparts for word in text.split()}
    of_its_own = {"slidecell_version", "slidecell_last_error"}
    of_its_own |= {f"slidecell_{kind}_free" for kind in ("model", "stream", "monitor")}
    assert functions - named == of_its_own
    assert members <= named


def test_rows_are_float_or_double() -> None:
    functions, _ = c_interface()
    text = without_comments(INCLUDE / "slidecell.h")
    takes_rows = {
        name
        for name in functions
        if re.search(rf"{name}\([^;]*const float\* (?:series|rows?)\b", text)
    }
    assert len(takes_rows) == 8
    assert {f"{name}_f64" for name in takes_rows} <= functions


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enumerations_have_the_same_names(name: str) -> None:
    cpp = "".join(without_comments(path) for path in INCLUDE.glob("*.hpp"))
    c = without_comments(INCLUDE / "slidecell.h")
    values = re.findall(r"\w+", body(cpp, cpp.index(f"enum class {name} ")))
    expected = [f"SLIDECELL_{value.upper()} = {i}" for i, value in enumerate(values)]
    assert re.findall(
        r"SLIDECELL_\w+ = \d+", body(c, c.index(f"enum slidecell_{name.lower()} "))
    ) == (expected)


def test_every_status_of_a_stream_has_one_in_c() -> None:
    text = without_comments(INCLUDE / "stream.hpp")
    assert re.findall(r"\w+", body(text, text.index("enum class Status"))) == list(STATUSES)
    c = without_comments(INCLUDE / "slidecell.h")
    assert set(STATUSES.values()) <= set(
        re.findall(r"SLIDECELL_\w+", body(c, c.index("enum slidecell_status")))
    )
