"""The catalogue of components. Pages import from here only.

Words, buttons, surfaces   button link_button link external_link icon kbd status_pill tone_pill
                           lang_badge tag count mute small mono card page_header key_values facts
                           empty_state skeleton when_loaded progress notice copy_button code_line
Times                      since duration when
Forms                      field field_group form_grid text_input text_area number_input
                           search_input select switch segmented tag_input pairs_input
Lists                      Column table row cell cell_title ticks tabs filter_chip query_chip chips
                           pagination phases
Overlays                   dialog confirm_dialog menu menu_item menu_line (toasts: rx.toast)
Code and logs              code_editor editor_call diff_view log_pane

The frame around a page is `cronium_app.ui.layout`: shell, plain_page, ShellData.
Any text may be a str or a Var. CSS lies in assets/cronium.css; a page needs no styles of its own
beyond the helpers `stack`, `line`, `cols`, `grow`, `hide-phone`, `only-phone`.
"""

from cronium_app.ui.components.basics import (
    button,
    card,
    code_line,
    copy_button,
    count,
    empty_state,
    external_link,
    facts,
    kbd,
    key_values,
    lang_badge,
    link,
    link_button,
    mono,
    mute,
    notice,
    page_header,
    progress,
    skeleton,
    small,
    status_pill,
    tag,
    tone_pill,
    when_loaded,
)
from cronium_app.ui.components.clocks import duration, since, when
from cronium_app.ui.components.code import code_editor, diff_view, editor_call
from cronium_app.ui.components.forms import (
    field,
    field_group,
    form_grid,
    number_input,
    pairs_input,
    search_input,
    segmented,
    select,
    switch,
    tag_input,
    text_area,
    text_input,
)
from cronium_app.ui.components.icons import icon
from cronium_app.ui.components.lists import (
    Column,
    cell,
    cell_title,
    chips,
    filter_chip,
    pagination,
    phases,
    query_chip,
    row,
    table,
    tabs,
    ticks,
)
from cronium_app.ui.components.log import log_pane
from cronium_app.ui.components.overlays import confirm_dialog, dialog, menu, menu_item, menu_line

__all__ = [
    "Column",
    "button",
    "card",
    "cell",
    "cell_title",
    "chips",
    "code_editor",
    "code_line",
    "confirm_dialog",
    "copy_button",
    "count",
    "dialog",
    "diff_view",
    "duration",
    "editor_call",
    "empty_state",
    "external_link",
    "facts",
    "field",
    "field_group",
    "filter_chip",
    "form_grid",
    "icon",
    "kbd",
    "key_values",
    "lang_badge",
    "link",
    "link_button",
    "log_pane",
    "menu",
    "menu_item",
    "menu_line",
    "mono",
    "mute",
    "notice",
    "number_input",
    "page_header",
    "pagination",
    "pairs_input",
    "phases",
    "progress",
    "query_chip",
    "row",
    "search_input",
    "segmented",
    "select",
    "since",
    "skeleton",
    "small",
    "status_pill",
    "switch",
    "table",
    "tabs",
    "tag",
    "tag_input",
    "text_area",
    "text_input",
    "ticks",
    "tone_pill",
    "when",
    "when_loaded",
]
