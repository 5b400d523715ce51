import pytest

from optiscope.markup import Html, element, render


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<script>", "&lt;script&gt;"),
        ('"&"', "&quot;&amp;&quot;"),
        ("it's", "it&#x27;s"),
        ("\N{EN DASH}", "\N{EN DASH}"),
    ],
)
def test_text_and_attributes_are_escaped(text: str, escaped: str) -> None:
    assert element("p", text, title=text) == f'<p title="{escaped}">{escaped}</p>'


def test_markup_is_kept_and_nested() -> None:
    assert element("ul", [element("li", "a<b"), "c", [Html("<hr>")]]) == "<ul><li>a&lt;b</li>c<hr></ul>"


def test_joined_text_is_escaped_again_rather_than_trusted() -> None:
    assert render(Html("<b>") + "<i>") == "&lt;b&gt;&lt;i&gt;"


def test_attribute_names_and_void_elements() -> None:
    assert element("meta", charset="utf-8", aria_label="x", class_="k", open=None) == (
        '<meta charset="utf-8" aria-label="x" class="k">'
    )
