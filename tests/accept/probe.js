// What is wrong with a page as it is shown now: a sentence each, which begins with the kind of fault.
(() => {
  const faults = [];
  const all = selector => [...document.querySelectorAll(selector)];
  const name = e => `<${e.tagName.toLowerCase()} class="${e.getAttribute("class") ?? ""}"> ${e.textContent.trim().slice(0, 40)}`;

  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width)
    faults.push(`wide: ${document.documentElement.scrollWidth} px in a window of ${width}`);

  for (const image of all("img")) {
    if (!image.naturalWidth) faults.push(`image: nothing is shown of ${image.src.slice(0, 80)}`);
    if (!image.alt) faults.push(`image: no alternative text for ${image.src.slice(0, 80)}`);
  }
  for (const drawing of all("svg"))
    if (!drawing.getAttribute("aria-label")) faults.push(`image: no label for ${name(drawing)}`);
  for (const link of all("a[href^='#']"))
    if (!document.getElementById(decodeURIComponent(link.hash.slice(1)))) faults.push(`link: nothing at ${link.hash}`);
  for (const script of all("script"))
    if (script.type !== "module" || !script.closest("head")) faults.push(`script: ${script.textContent.slice(0, 80)}`);

  // Contrast after WCAG 2.
  const channels = colour => {
    const found = colour.match(/[\d.]+/g)?.map(Number);
    return found && [found[0], found[1], found[2], found[3] ?? 1];
  };
  const over = (front, back) => front.slice(0, 3).map((c, i) => c * front[3] + back[i] * (1 - front[3]));
  const luminance = rgb => {
    const linear = rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const background = element => {
    if (!element) return [255, 255, 255];
    const own = channels(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, background(element.parentElement));
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || seen.has(element) || !element.checkVisibility()) continue;
    seen.add(element);
    const style = getComputedStyle(element);
    const behind = background(element);
    const front = channels(element.closest("svg") ? style.fill : style.color);
    if (!front) continue;
    const [a, b] = [luminance(over(front, behind)), luminance(behind)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push(`contrast: ${contrast.toFixed(2)} of ${name(element)}`);
  }
  return faults;
})()
