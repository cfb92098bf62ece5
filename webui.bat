@echo off
rem Starts Easel on Windows. Your own settings go into webui-user.bat: double-click that one.
cd /d "%~dp0"
if not defined PYTHON set "PYTHON=python"
"%PYTHON%" --version >nul 2>&1
if errorlevel 1 (
    echo Easel needs Python 3.11 or newer, and "%PYTHON%" does not start.
    echo Install Python from python.org with "Add python.exe to PATH", or name it as PYTHON in webui-user.bat.
    pause
    exit /b 1
)
"%PYTHON%" webui.py %*
if errorlevel 1 pause
