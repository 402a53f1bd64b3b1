// The lines from the first stage's order to the final one.

export const emptyLadder = () => made("svg", { class: "ladder", "aria-hidden": "true" });

export function drawLadders() {
  for (const board of document.querySelectorAll(".board")) drawLadder(board);
}

// A card's line stands out while the card is looked at.
export function lightUp(item, ...ways) {
  for (const [on, off] of ways) {
    item.addEventListener(on, () => item.line?.classList.add("lit"));
    item.addEventListener(off, () => item.line?.classList.remove("lit"));
  }
}

function made(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function drawLadder(board) {
  const svg = board.querySelector(".ladder");
  const items = [...board.querySelectorAll(".hit")];
  const top = board.getBoundingClientRect().top;
  const centre = (item) => {
    const head = item.querySelector(".head").getBoundingClientRect();
    return (head.top + head.bottom) / 2 - top;
  };
  const order = [...items].sort((a, b) => a.dataset.rank - b.dataset.rank);
  const [first, last] = [centre(items[0]), centre(items.at(-1))];
  const step = items.length > 1 ? (last - first) / (items.length - 1) : 0;
  const width = svg.getBoundingClientRect().width;
  const left = width > 60 ? 26 : 20;
  const middle = (left + width) / 2;
  svg.replaceChildren();
  order.forEach((item, i) => {
    const [from, to] = [first + i * step, centre(item)];
    const { way, rank, miss } = item.dataset;
    const curve = `M${left} ${from}C${middle} ${from} ${middle} ${to} ${width - 2} ${to}`;
    item.line = made("path", { d: curve, class: miss ? `${way} miss` : way });
    svg.append(made("text", { x: left - 6, y: from + 4 }, rank), made("circle", { cx: left, cy: from, r: 2.5, class: way }), item.line);
  });
}
