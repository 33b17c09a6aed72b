// What the SQL editor needs beside its widget: the page's theme, a name, keys that do not trap.
"use strict";

window.addEventListener("load", () => {
  const root = document.documentElement;
  const themeNow = () => `ace/theme/${root.classList.contains("dark") ? "github_dark" : "github_light_default"}`;

  for (const widget of document.querySelectorAll(".django-ace-widget")) {
    const editor = widget.editor;
    const field = widget.parentNode.querySelector("textarea[name]");
    if (!editor || !field) continue;
    const label = document.querySelector(`label[for="${field.id}"]`);

    editor.setTheme(themeNow());
    new MutationObserver(() => editor.setTheme(themeNow()))
      .observe(root, { attributes: true, attributeFilter: ["class"] });

    // Enter goes into the text, Escape out of it; Tab alone goes on to the next field.
    editor.setOptions({
      enableKeyboardAccessibility: true,
      textInputAriaLabel: label ? label.textContent.trim() : field.name,
      showFoldWidgets: false,
      scrollPastEnd: 0,
    });
    editor.renderer.setPadding(8);
    editor.renderer.setScrollMargin(6, 6);
    new ResizeObserver(() => editor.resize()).observe(widget);
    if (label) label.addEventListener("click", () => editor.focus());
    const followLock = () => {
      editor.setReadOnly(field.disabled);
      widget.classList.toggle("etl-locked", field.disabled);
    };
    followLock();
    new MutationObserver(followLock).observe(field, { attributes: true, attributeFilter: ["disabled"] });

    // The page warns of what is not stored yet when a field tells of its input.
    editor.session.on("change", () => field.dispatchEvent(new Event("input", { bubbles: true })));

    const preview = document.querySelector("[data-etl-preview]");
    if (preview) {
      editor.commands.addCommand({
        name: "preview",
        bindKey: { win: "Ctrl-Enter", mac: "Command-Enter" },
        exec: () => preview.click(),
        readOnly: true,
      });
    }
    mark(editor, field);
  }

  // A server's sentence names the line and column of what it does not understand.
  function mark(editor, field) {
    const found = [...field.closest(".django-ace-editor").parentNode.querySelectorAll(".errorlist li")]
      .map((item) => ({ text: item.textContent.trim(), at: item.textContent.match(/\(\D+(\d+), \D+(\d+)\)/) }))
      .filter((error) => error.at);
    editor.session.setAnnotations(found.map((error) => ({
      row: error.at[1] - 1,
      column: error.at[2] - 1,
      text: error.text,
      type: "error",
    })));
    if (found.length) editor.gotoLine(Number(found[0].at[1]), found[0].at[2] - 1);
  }
});

// What a run kept from being changed can be changed when the panel says that it has ended.
document.addEventListener("htmx:afterSettle", () => {
  const panel = document.getElementById("etl-live");
  if (!panel || "locked" in panel.dataset) return;
  for (const field of document.querySelectorAll("#pipeline_form :disabled")) field.disabled = false;
});
