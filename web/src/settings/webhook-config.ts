/** Returns the address of the webhook endpoint. */
export const webhookUrl = (base: string) => `${base.trim().replace(/\/+$/, '')}/api/webhooks/livekit`;

/** Returns a YAML scalar that is read as text. */
const scalar = (text: string) => (/^[A-Za-z][A-Za-z0-9._/-]*$/.test(text) ? text : JSON.stringify(text));

/** Returns the lines for livekit.yaml: only the needed fields, because LiveKit does not start with an unknown one. */
export const livekitYaml = (base: string, key: string) =>
  `webhook:\n  api_key: ${scalar(key)}\n  urls:\n    - ${JSON.stringify(webhookUrl(base))}\n`;

/** Returns the likely problem of an address as seen from LiveKit, or null. */
export function addressTrouble(base: string): string | null {
  const url = URL.canParse(base.trim()) ? new URL(base.trim()) : null;
  if (!url || !/^https?:$/.test(url.protocol)) return 'Not an HTTP or HTTPS address.';
  if (/^(localhost|127\.|\[::1\])/.test(url.hostname)) {
    return 'Only a LiveKit on this machine, outside a container, can reach this address. Otherwise use one that LiveKit can reach.';
  }
  return null;
}
