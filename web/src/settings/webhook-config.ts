/** Where LiveKit has to post, below the address under which it reaches this server. */
export const webhookUrl = (base: string) => `${base.trim().replace(/\/+$/, '')}/api/webhooks/livekit`;

/** A YAML scalar that is text whatever it looks like. */
const scalar = (text: string) => (/^[A-Za-z][A-Za-z0-9._/-]*$/.test(text) ? text : JSON.stringify(text));

/** The lines for livekit.yaml. LiveKit refuses to start on a field it does not know, so there is nothing but the needed ones. */
export const livekitYaml = (base: string, key: string) =>
  `webhook:\n  api_key: ${scalar(key)}\n  urls:\n    - ${JSON.stringify(webhookUrl(base))}\n`;

/** What is likely wrong with an address, seen from LiveKit; null when nothing is. */
export function addressTrouble(base: string): string | null {
  const url = URL.canParse(base.trim()) ? new URL(base.trim()) : null;
  if (!url || !/^https?:$/.test(url.protocol)) return 'Not an HTTP or HTTPS address.';
  if (/^(localhost|127\.|\[::1\])/.test(url.hostname)) {
    return 'Only a LiveKit on this machine, outside a container, can reach this address. Otherwise use one that LiveKit can reach.';
  }
  return null;
}
