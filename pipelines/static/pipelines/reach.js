/* What the theme lets a mouse do, for the keyboard too: its links without an address are buttons,
   Escape leads out of what covers the page, and icons are not read out beside the words. */
"use strict";

(() => {
  const NATIVE = "a[href], button, input, select, textarea, summary, label, form, nav, [tabindex]";

  const reach = (root) => {
    for (const element of root.querySelectorAll("[x-on\\:click]")) {
      // What only covers the page, to close something, holds no word and needs no focus.
      if (element.matches(NATIVE) || !element.textContent.trim()) continue;
      element.tabIndex = 0;
      element.setAttribute("role", "button");
    }
    for (const icon of root.querySelectorAll(".material-symbols-outlined:not([aria-hidden])")) {
      const around = icon.closest("a, button, [role=button]");
      const beside = around && around.textContent.trim() !== icon.textContent.trim();
      const title = around?.title.trim();
      if (!around || beside || title || around.hasAttribute("aria-label")) {
        icon.setAttribute("aria-hidden", "true");
      }
      if (title && !beside && !around.hasAttribute("aria-label")) {
        around.setAttribute("aria-label", title);
      }
    }
  };

  // What the keyboard has opened last; Escape, which closes it, leads back there.
  let opener = null;

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opener?.isConnected) {
      const back = opener;
      opener = null;
      setTimeout(() => back.focus());
    }
    if (event.key !== "Enter" && event.key !== " ") return;
    const opens = event.target.matches("[role=button], [aria-expanded]");
    if (opens && !event.target.closest("[x-show]")) opener = event.target;
    if (!event.target.matches("[role=button]:not(button, a[href])")) return;
    event.preventDefault();
    event.target.click();
  });

  document.addEventListener("DOMContentLoaded", () => {
    reach(document);
    document.body.addEventListener("htmx:load", (event) => reach(event.detail.elt));
    // After the lists of the form for rights have been made, which is on load too.
    window.addEventListener("load", () => {
      document.querySelectorAll(".help-tooltip").forEach((icon) => icon.setAttribute("role", "img"));
    });
  });
  // What Alpine moves to the end of the page is there only after it has started.
  document.addEventListener("alpine:initialized", () => reach(document));
})();
