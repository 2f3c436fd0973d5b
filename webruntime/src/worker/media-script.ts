/** The script of the media part, which the worker imports. */

import { openMediaReader } from "../input/media-reader.ts";
import { offerMediaPart } from "./media-part.ts";

offerMediaPart({ openMediaReader });
