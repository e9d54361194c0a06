"""A person's first video in a real browser: by what can be read on the page alone, and without a terminal."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import running_browser
from tests.e2e.conftest import Live

# Chromium's own microphone, which beeps.
FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
MINUTE = 60_000
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "color_scheme": "dark",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser(*FAKE_MICROPHONE) as browser:
        yield browser


@pytest.fixture
def faults() -> list[str]:
    """What a person's browser complains of: errors of scripts, and requests to other hosts."""
    return []


def open_start_page(browser: Any, live: Live, faults: list[str], **context: Any) -> Any:
    page = browser.new_context(**context).new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    # Browsers themselves write each refusal (422) down as an error.
    page.on(
        "console", lambda line: line.type == "error" and "422" not in line.text and faults.append(line.text)
    )
    ours = (live.url, "blob:", "data:")
    page.on("request", lambda request: request.url.startswith(ours) or faults.append(request.url))
    page.goto(live.url)
    return page


def test_one_click_a_picture_and_a_recorded_voice_make_a_video(
    browser: Any, live: Live, faults: list[str]
) -> None:
    page = open_start_page(browser, live, faults, **DESKTOP)
    page.get_by_role("button", name="Try it out").click()
    page.get_by_text("Plan Test mode").wait_for()
    page.get_by_role("button", name="Sample: one person").click()
    page.get_by_role("button", name="Record", exact=True).first.click()
    page.get_by_text("Recording: 3.").wait_for()
    page.get_by_role("button", name="Stop").click()
    make = page.get_by_role("button", name="Make the video", disabled=False)
    make.wait_for(timeout=MINUTE)
    assert page.locator(".box.face").count() == 1

    # What is wrong is said where it is, and nothing is lost by it, nor by a reload.
    page.get_by_text("Options").click()
    page.get_by_label("Seed").fill("-4")
    page.get_by_label("Prompt").fill("A woman in a dark room speaks calmly.")
    page.get_by_text("greater than or equal to 0").wait_for(timeout=MINUTE)
    assert page.get_by_label("Seed").get_attribute("aria-invalid") == "true"
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Prompt").focus()
    make.wait_for(timeout=MINUTE)
    page.reload()
    make.wait_for(timeout=MINUTE)

    # In live mode nothing can be sent before its price is on the button.
    plans: list[Any] = []
    page.route("**/v1/me", lambda route: plans.append(route))
    with page.expect_request("**/v1/me"):
        page.get_by_label("Mode").select_option("live")
    free = page.get_by_role("button", name="Make the video", exact=True, disabled=False)
    assert free.count() == 0
    plans.pop().continue_()
    page.unroute("**/v1/me")
    page.get_by_label("Mode").select_option("test")
    make.wait_for(timeout=MINUTE)

    make.click()
    page.get_by_role("link", name="Download").wait_for(timeout=MINUTE)
    (video,) = page.locator(".result video").all()
    assert video.evaluate("(video) => video.duration") > 3
    assert page.get_by_text("seed 7").is_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".mp4")
    page.get_by_text("The same request as code").click()
    code = page.locator("#code-text").inner_text()
    assert "-F 'image=@portrait.png'" in code
    assert "-F 'seed=7'" in code
    assert faults == []


def test_a_typed_text_is_said_by_a_voice_that_was_heard_before(
    browser: Any, live: Live, faults: list[str]
) -> None:
    page = open_start_page(browser, live, faults, **DESKTOP)
    page.get_by_role("button", name="Try it out").click()
    page.get_by_text("Plan Test mode").wait_for()
    page.get_by_role("button", name="Sample: one person").click()
    page.get_by_label("Or type what is said").first.fill("Good morning.")
    page.get_by_label("Spoken by").first.select_option("espeak-en-us-female")
    with page.expect_request("**/espeak-en-us-female.mp3"):
        page.get_by_role("button", name="Hear it").first.click()
    page.get_by_role("button", name="Make the video", disabled=False).click(timeout=MINUTE)
    page.get_by_role("link", name="Download").wait_for(timeout=MINUTE)
    page.get_by_text("The same request as code").click()
    assert "-F 'voice=espeak-en-us-female'" in page.locator("#code-text").inner_text()
    assert faults == []


def test_on_a_phone_everything_can_be_reached_by_keys_and_the_video_is_seen_before_its_end(
    browser: Any, live: Live, faults: list[str]
) -> None:
    page = open_start_page(browser, live, faults, **PHONE)

    def press(role: str, name: str, **how: Any) -> None:
        page.get_by_role(role, name=name, **how).first.focus()
        page.keyboard.press("Space" if role == "checkbox" else "Enter")

    press("button", "Try it out")
    page.get_by_text("Plan Test mode").wait_for()
    press("button", "Sample: two people")
    press("button", "Sample voice")
    press("checkbox", "Two people speak")
    page.get_by_role("heading", name="Second voice").wait_for()
    page.get_by_label("Or type what is said").nth(1).focus()
    page.keyboard.type("And now I say a few words, too. [pause 0.5s] That is all.")
    page.get_by_label("Spoken by").nth(1).select_option(label="American English, female, like a machine")
    page.get_by_label("Who speaks first").select_option("first_then_second")
    first = page.get_by_role("group", name="First speaker")
    left = first.evaluate("(box) => box.style.left")
    first.focus()
    page.keyboard.press("ArrowRight")
    assert first.evaluate("(box) => box.style.left") != left
    page.get_by_role("button", name="Make the video", disabled=False).wait_for(timeout=MINUTE)
    press("button", "Make the video")
    page.locator(".result video").wait_for(timeout=MINUTE)
    assert page.get_by_role("button", name="Cancel").is_visible()
    wide = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
    press("button", "Cancel")
    page.get_by_text("Canceled.").wait_for(timeout=MINUTE)
    assert faults == []
