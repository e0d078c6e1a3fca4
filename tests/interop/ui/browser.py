"""A headless Chromium, and the words in which the cases speak of it."""

import io
import time

from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

LIMIT = 20


def until(condition, what):
    """Waits for a condition, never for a time."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            found = condition()
        except (StaleElementReferenceException, WebDriverException):
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"in vain: {what() if callable(what) else what}")
        time.sleep(0.05)


class Browser:
    def __init__(self, address):
        options = webdriver.ChromeOptions()
        # Chromium's sandbox does not start for root, which is who containers run tests as.
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                     "--window-size=1280,860", "--disable-background-networking"):  # fmt: skip
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService("/usr/bin/chromedriver")
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(60)
        self.base = f"http://{address}"

    def close(self):
        self.driver.quit()

    def open(self, path):
        self.driver.get(self.base + path)
        return self

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return until(lambda: next(iter(self.all(css)), None), css)

    def text(self, css="main"):
        return self.one(css).text

    def says(self, text, css="main"):
        until(lambda: text in self.text(css), lambda: f"{text!r} in {css}, which says {self.text(css)[:300]!r}")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def title(self):
        return self.text("h1")

    def fill(self, css, value):
        field = self.one(css)
        if field.tag_name == "select":
            Select(field).select_by_value(value)
        elif field.get_attribute("type") == "checkbox":
            if field.is_selected() != value:
                field.click()
        else:
            field.clear()
            field.send_keys(value)

    def send(self, action, fields, at="", confirm=False, said=None):
        """Fills the form of an action of the page in, and sends it with its button."""
        form = f'form[action="/do/{action}"]{at}'
        self.run("const fold = document.querySelector(arguments[0]).closest('details'); if (fold) fold.open = true", form)
        for name, value in fields.items():
            self.fill(f'{form} [name="{name}"]', value)
        self.run("window.sent = true")
        self.press(f"{form} button", confirm)
        # Another page, or a refusal on this one: who went on before would be taken back by the answer.
        until(lambda: self.run("return !window.sent || document.getElementById('alert').textContent !== ''"), "an answer")
        if said:
            self.says(said, "#notice, main")

    def press(self, css, confirm=False):
        button = self.one(css)
        self.run("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", button)
        until(lambda: self._click(button), f"a click on {css}")
        if confirm:
            until(lambda: self._accept(), "a question")

    @staticmethod
    def _click(button):
        # Something that came in above may have pushed the button away under the pointer.
        try:
            button.click()
        except ElementClickInterceptedException:
            return False
        return True

    def _accept(self):
        self.driver.switch_to.alert.accept()
        return True

    def log_in(self, user="guest", password="guest"):
        self.open("/login")
        self.fill("#user", user)
        self.fill("#password", password)
        self.press("form button")

    def complaints(self):
        """What the console says: refused by the policy, errors of the script."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def screenshot(self, file):
        picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        # Few colours are enough for text and lines, and keep the file small.
        picture.quantize(48).save(file, optimize=True)
        return file.stat().st_size
