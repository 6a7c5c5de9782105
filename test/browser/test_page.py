"""The demo's page in a browser: what it says, and that its links lead both ways.

Wants the page that demo/run wrote (build/demo.html), and Chromium.
"""

import pathlib
import re
import unittest

import chromium

PAGE = pathlib.Path(__file__).resolve().parents[2] / "build" / "demo.html"


@unittest.skipUnless(chromium.find(), "there is no Chromium here")
class DemoPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(chromium.Chromium())

    def setUp(self):
        self.page = self.browser.open(PAGE)

    def tearDown(self):
        self.assertEqual(self.page.errors, [], "the console and the network are silent")

    def text(self, selector):
        return self.page.evaluate(f"document.querySelector('{selector}').innerText")

    def count(self, selector):
        return self.page.evaluate(f"document.querySelectorAll('{selector}').length")

    def is_visible(self, selector):
        return self.page.evaluate(
            f"document.querySelector('{selector}').getBoundingClientRect().height > 0"
        )

    def hash(self):
        return self.page.evaluate("location.hash")

    def test_it_shows_the_batch_and_three_requests(self):
        self.assertEqual(self.text("h1"), "Many requests, one batch")
        titles = self.page.evaluate(
            "[...document.querySelectorAll('section.shown h2')].map(e => e.firstChild.data.trim())"
        )
        self.assertEqual(titles[0], "The batch")
        self.assertEqual([re.sub(r"\d+", "N", t) for t in titles[1:]], ["Request N"] * 3)
        batch = self.text("section.shown")
        self.assertIn("generate-daily-reports", batch)
        self.assertIn("process-report-batch", batch)
        request = self.text("section.shown:nth-of-type(2)")
        for name in ("POST /reports", "INSERT report_requests", "wait process-report-batch"):
            self.assertIn(name, request)

    def test_its_numbers_are_those_of_the_scenario(self):
        facts = self.page.evaluate(
            "[...document.querySelectorAll('.facts b')].map(e => e.innerText)"
        )
        self.assertEqual(facts[1], "200")
        self.assertEqual(facts[0], facts[2], "as many links as requests with a trace")
        self.assertEqual(self.count("section"), 201, "every trace is on the page")
        self.assertEqual(
            str(self.count(".bar.wait")), facts[0], "each request has a bar for its wait"
        )

    def test_every_link_leads_to_a_span_on_the_page(self):
        self.assertGreater(self.count("a"), 800)
        lost = self.page.evaluate(
            """[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))
            .filter(h => !h.startsWith('#') || !document.getElementById(h.slice(1)))"""
        )
        self.assertEqual(lost, [])

    def test_a_click_leads_from_the_batch_to_a_request_and_back(self):
        batch = self.page.evaluate("document.querySelector('section.shown details[open]').id")
        hidden = self.page.evaluate(
            """[...document.querySelectorAll('details[open] a')].map(a => a.getAttribute('href'))
            .find(h => document.getElementById(h.slice(1)).closest('section.other'))"""
        )
        self.assertFalse(self.is_visible(hidden))
        self.page.click(f'details[open] a[href="{hidden}"]')
        self.assertEqual(self.hash(), hidden)
        self.assertTrue(self.is_visible(hidden), "the request that a link leads to appears")
        self.page.click("section:has(:target) .bar.wait")
        self.page.click(f'section:has(:target) a[href="#{batch}"]')
        self.assertEqual(self.hash(), f"#{batch}", "its wait leads back to the batch")
        self.assertFalse(self.is_visible(hidden))

    def test_a_request_shows_that_the_batch_links_to_it(self):
        self.page.click("section.shown:nth-of-type(2) a[title='the batch links to this']")
        self.assertTrue(
            self.page.evaluate(
                "document.querySelector(':target').closest('section') === "
                "document.querySelector('section')"
            )
        )

    def test_a_span_opens_and_closes(self):
        span = self.page.evaluate(
            "document.querySelector('section.shown:nth-of-type(2) details').id"
        )
        self.page.click(f"#{span} summary")
        self.assertIn("/reports", self.text(f"#{span} dl"))
        self.page.click(f"#{span} summary")
        self.assertFalse(self.page.evaluate(f"document.getElementById('{span}').open"))

    def test_it_is_light_or_dark_as_its_reader_prefers(self):
        colors = {}
        for scheme in ("light", "dark"):
            self.page.prefer(scheme)
            colors[scheme] = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        self.assertEqual(colors, {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"})

    def test_it_fits_a_telephone(self):
        self.page.call(
            "Emulation.setDeviceMetricsOverride",
            width=390,
            height=800,
            deviceScaleFactor=1,
            mobile=True,
        )
        self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth"), 390)

    def test_it_has_no_script(self):
        self.assertEqual(self.count("script"), 0)


if __name__ == "__main__":
    unittest.main()
