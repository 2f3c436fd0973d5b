/** Soft tokens that an image may take at most: the choices Gemma 4 was trained with. */
export const BUDGETS = [70, 140, 280, 560, 1120] as const;
