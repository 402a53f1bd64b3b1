// Requests to the server's API.

export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const bearer = () => {
  const token = sessionStorage.getItem("token");
  return token ? { authorization: `Bearer ${token}` } : {};
};

async function called(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...bearer() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0, "The server doesn't answer. Is it running? Start it again: bicross demo");
  }
  if (!response.ok) throw new Failure(response.status, reason(response.status, await response.text()));
  return response;
}

export function reason(status, text) {
  try {
    return JSON.parse(text).error.message;
  } catch {
    return `The server answered ${status}.`; // the answer isn't the server's own
  }
}

export const json = async (path, options) => (await called(path, options)).json();

export const posted = (path, body, signal) =>
  called(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal });

export async function lines(response, each) {
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const parts = rest.split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) each(JSON.parse(part));
    if (done) return;
  }
}
