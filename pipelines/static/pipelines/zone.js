/* Tells the server the reader's time zone (see pipelines/zones.py), and asks once for a page whose
   times it could not know yet. */
"use strict";

(() => {
  const NAME = "timezone";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  // Its messages would be lost. On a page that a POST gave, the server marks our address.
  const isAnswer =
    document.currentScript.src.endsWith("#answer") ||
    performance.getEntriesByType("navigation")[0]?.redirectCount > 0;

  const known = () =>
    document.cookie.split("; ").find((part) => part.startsWith(`${NAME}=`))?.slice(NAME.length + 1);

  const before = known() ?? "UTC";
  if (!zone || before === zone) return;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${NAME}=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  // Where no cookie is kept, asking again would give the same page.
  if (known() !== zone || isAnswer) return;

  let isTouched = false;
  document.addEventListener("input", () => (isTouched = true), { capture: true, once: true });
  document.addEventListener("DOMContentLoaded", () => {
    // Nothing on the page for signing in has a time.
    if (isTouched || document.body.classList.contains("login")) return;
    try {
      // Once for each zone and tab, even where cookies last no longer than a page.
      if (sessionStorage.getItem(NAME) === zone) return;
      sessionStorage.setItem(NAME, zone);
    } catch {
      return;
    }
    location.reload();
  });
})();
