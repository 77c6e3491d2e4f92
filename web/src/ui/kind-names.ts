/** Names of LiveKit's kinds of participants. */
export const KIND_NAMES: Record<string, string> = {
  standard: 'Person',
  sip: 'Phone',
  agent: 'Agent',
  ingress: 'Ingress',
  egress: 'Recorder',
};
