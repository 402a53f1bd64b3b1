"""A search and answer page over a folder: python app.py FOLDER. The page is for this machine alone."""

import re
import sys
from pathlib import Path

import streamlit as st
from pipeline import Demo, quoted
from streamlit import runtime
from streamlit.web import cli

ADDRESS = "127.0.0.1"
HOW = "For an answer, set BICROSS_CHAT_URL (such as http://localhost:11434/v1) and BICROSS_CHAT_MODEL, and start again."

demo = st.cache_resource(show_spinner="Indexing …")(Demo)


def page() -> None:
    st.title("Two stages in LangChain")
    if st.get_option("server.address") != ADDRESS:
        st.error("Start this with python app.py FOLDER: then only this machine reaches it.")
        return
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    if not folder.is_dir():
        st.error(f"There is no folder {str(folder)!r}. Start this with python app.py FOLDER.")
        return
    engine = demo(folder)
    question, k = st.text_input("Question"), st.slider("Passages", 1, 20, 5)
    if not question.strip():
        return
    passages, cited = engine.search(question, k), set()
    if engine.chat_url:
        try:
            answer = engine.answer(question, passages, st.empty().text)  # as text: a document may hold markup
            cited = {int(number) for number in re.findall(r"\[(\d+)\]", answer)}
        except Exception as error:  # noqa: BLE001  (whatever the endpoint says, the passages are there)
            st.error(f"The chat model gave no answer: {type(error).__name__}")
    else:
        st.info(HOW)
    for number, passage in enumerate(passages, start=1):
        with st.expander(f"[{number}]" + (" cited" if number in cited else ""), expanded=True):
            for part in quoted(passage):
                st.text(part)


if runtime.exists():
    page()
elif __name__ == "__main__":
    cli.main_run([__file__, f"--server.address={ADDRESS}", "--browser.gatherUsageStats=false", "--", *sys.argv[1:]])
