"""Services that generate video from a picture and a text, as world models: `/v1/videos` servers and job interfaces."""
